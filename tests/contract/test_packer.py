"""The template is valid, refuses bad variables, and what must not be in an AMI is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime import proc
from runtime.settings import ROOT, Settings

GOOD = {
    "role": "kafka",
    "ami_name": "bullion-kafka",
    "source_ami": "ami-0123456789abcdef0",
    "subnet_id": "subnet-1",
    "ssh_source_cidrs": ["172.31.0.1/32"],
    "region": "us-east-1",
    "tags": {},
    "run_tags": {},
}
LEAKS = {
    "etc/ssh/ssh_host_ed25519_key": "ssh host key",
    "root/.ssh/authorized_keys": "authorized key",
    "home/admin/.ssh/authorized_keys": "authorized key",
    "etc/machine-id": "machine id",
    "var/lib/dbus/machine-id": "machine id",
    "var/lib/cloud/instance/user-data.txt": "cloud-init state",
    "var/lib/systemd/random-seed": "random seed",
    "var/lib/systemd/credentials.secret": "credential secret",
    "root/.bash_history": "shell history",
    "home/admin/.python_history": "shell history",
    "var/lib/apt/lists/mirror_x": "apt lists",
    "var/lib/docker/engine-id": "Docker engine id",
    "root/.docker/config.json": "registry login",
    "var/lib/docker/containers/0abc/config.v2.json": "container",
    "var/lib/docker/volumes/kafka-data/_data/meta.properties": "stack data",
    "var/lib/bullion/data/kafka/meta.properties": "stack data",
    "var/log/journal/0abc/system.journal": "journal",
    "var/log/cloud-init.log": "log",
    "home/admin/.aws/credentials": "AWS credentials",
    "etc/hostname": "builder's name",
}


@pytest.fixture
def validate(tmp_path: Path, lab_settings: Settings):
    """Run `packer validate` with GOOD and more; any exit status is an answer."""

    def run(**more: object) -> proc.Completed:
        values = tmp_path / "values.pkrvars.json"
        values.write_text(json.dumps(GOOD | {"stage_dir": str(tmp_path)} | more))
        files = [f"-var-file={ROOT / 'packer/lab.pkrvars.hcl'}", f"-var-file={values}"]
        env = {
            "PACKER_PLUGIN_PATH": str(lab_settings.packer_plugins),
            "CHECKPOINT_DISABLE": "1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # whatever it asks goes nowhere
        }
        argv = [lab_settings.packer, "validate", *files, ROOT / "packer"]
        return proc.run(argv, timeout_s=120, env=env, ok=range(256))

    return run


def test_the_template_is_valid(validate) -> None:
    done = validate()
    assert done.status == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("role", "king", "The role must be one of: base, kafka, mongo"),
        ("source_ami", "debian", "must be an AMI id such as"),
        ("ssh_interface", "session_manager", "must be public_ip or private_ip"),
    ],
)
def test_a_bad_variable_is_refused_with_the_rule(
    validate, variable: str, value: str, rule: str
) -> None:
    done = validate(**{variable: value})
    assert done.status != 0
    assert rule in " ".join((done.stdout + done.stderr).split())


def refuse(root: Path) -> proc.Completed:
    script = ROOT / "packer/provisioners/validate.sh"
    return proc.run([script, root], timeout_s=30, ok=range(256))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A file system as cleanup.sh leaves it."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "var/log").mkdir(parents=True)
    (tmp_path / "var/log/lastlog").write_text("kept")
    (tmp_path / "etc/machine-id").touch()
    (tmp_path / "etc/hostname").write_text("localhost\n")
    return tmp_path


def test_a_clean_tree_passes(tree: Path) -> None:
    done = refuse(tree)
    assert done.status == 0, done.stderr


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_refused_by_name(tree: Path, leak: str) -> None:
    path = tree / leak
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("of the builder")
    done = refuse(tree)
    assert done.status == 1
    assert f"must not be in an AMI: {LEAKS[leak]}" in done.stderr
