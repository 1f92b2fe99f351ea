"""The module: valid, tested by Terraform itself, and equal to what Python says of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from runtime import proc
from runtime.contract import data, parameters, paths, ports
from runtime.contract.ports import ADMIN, Flow
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.deploy import terraform as terraform_source
from runtime.settings import ROOT, Settings

MODULE = ROOT / "terraform"
PARAMETERS = (MODULE / "parameters.tf").read_text()
LOCALS = (MODULE / "locals.tf").read_text()


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the module, so that nothing of a deployment is in its way; data may go in it."""
    copy = Path(shutil.copytree(MODULE, tmp_path_factory.mktemp("terraform") / "module"))
    (copy / "override.tf").write_text(terraform_source.LIFT)
    return copy


@pytest.fixture(scope="module")
def terraform(module: Path, lab_settings: Settings):
    """Run Terraform in the module, without a backend; any exit status is an answer."""

    def run(*words: str) -> proc.Completed:
        argv = [lab_settings.terraform, f"-chdir={module}", words[0], "-no-color", *words[1:]]
        # The mocked provider still loads its schema, and must never reach AWS.
        env = {"CHECKPOINT_DISABLE": "1", "AWS_EC2_METADATA_DISABLED": "true"}
        return proc.run(argv, timeout_s=600, env=env, ok=range(256))

    mirror = lab_settings.provider_dir
    options = [f"-plugin-dir={mirror}"] if mirror else []
    done = run("init", "-backend=false", "-lockfile=readonly", *options)
    assert done.status == 0, done.stderr
    return run


def test_the_module_is_valid(terraform) -> None:
    done = terraform("validate")
    assert done.status == 0, done.stdout + done.stderr


def test_terraforms_own_tests_pass(terraform) -> None:
    done = terraform("test")
    assert done.status == 0, (done.stdout + done.stderr)[-4000:]
    assert re.search(r"Success! (\d+) passed, 0 failed", done.stdout), done.stdout[-500:]


def test_terraforms_tests_can_fail(terraform, module: Path) -> None:
    machines = module / "machines.tf"
    good = machines.read_text()
    machines.write_text(
        good.replace('http_tokens                 = "required"', 'http_tokens = "optional"')
    )
    try:
        done = terraform("test")
    finally:
        machines.write_text(good)
    assert done.status != 0
    assert "Metadata must need a token" in done.stdout + done.stderr


def block(name: str) -> str:
    found = re.search(rf'^variable "{name}" {{\n(.*?)^}}', PARAMETERS, re.MULTILINE | re.DOTALL)
    assert found, f"terraform/parameters.tf lacks {name}"
    return found[1]


@pytest.mark.parametrize("parameter", parameters.CATALOG, ids=lambda p: p.name)
def test_a_parameter_is_a_variable_with_the_same_rule(parameter: parameters.Parameter) -> None:
    text = block(parameter.name)
    assert re.search(r"type +=\s+(\w+)", text)[1] == (
        "string" if parameter.kind == "str" else "number"
    )
    assert re.search(r"default +=\s+null", text)
    assert parameter.meaning.lower() in text.lower()
    if parameter.kind == "str":
        assert f'regex("^({parameter.pattern})$"' in text
    else:
        assert f"var.{parameter.name} >= {parameter.least:.15g}" in text
        assert f"var.{parameter.name} <= {parameter.most:.15g}" in text
        assert ("floor(" in text) is (parameter.kind == "int")


def test_the_most_processors_follow_from_the_partitions_that_are_baked() -> None:
    (baked,) = (one.default for one in parameters.CATALOG if one.name == "topic_partitions")
    text = (MODULE / "variables.tf").read_text()
    assert f"var.processor_count <= 2 * coalesce(var.topic_partitions, {baked})" in text


def test_the_topics_that_may_not_be_one_are_those_that_are_baked() -> None:
    baked = {one.name: one.default for one in parameters.CATALOG}
    both = [f'coalesce(var.{name}, "{baked[name]}")' for name in ("token_topic", "gpu_topic")]
    assert " != ".join(both) in block("token_topic")


def test_there_is_no_variable_without_a_parameter() -> None:
    names = re.findall(r'^variable "(\w+)"', PARAMETERS, re.MULTILINE)
    assert sorted(names) == sorted(parameter.name for parameter in parameters.CATALOG)


@pytest.mark.parametrize("role", MACHINE_ROLES)
def test_a_role_gets_the_parameters_that_it_reads(role: Role) -> None:
    table = LOCALS.partition("  parameters = {\n")[2]
    rows = re.search(rf"^    {role} = {{\n(.*?)^    }}", table, re.MULTILINE | re.DOTALL)[1]
    assert re.findall(r"(\w+) += var\.\1\n", rows) == [p.name for p in parameters.for_role(role)]


def test_the_security_groups_say_what_the_ports_table_says() -> None:
    between = re.findall(r'{ to = "(\w+)", port = (\d+), from = "(\w+)" }', LOCALS)
    to_admin = re.findall(r'{ to = "(\w+)", port = (\d+) } }', LOCALS)
    said = {Flow(to=Role(to), port=int(port), source=Role(source)) for to, port, source in between}
    said |= {Flow(to=Role(to), port=int(port), source=ADMIN) for to, port in to_admin}
    assert "{ to = role, port = 22 }" in LOCALS
    said |= {Flow(to=role, port=ports.SSH, source=ADMIN) for role in MACHINE_ROLES}
    assert said == set(ports.FLOWS)


def test_those_that_keep_data_are_the_same_to_terraform_bake_machine_and_images() -> None:
    rows = ", ".join(f'"{role}"' for role in data.OWNERS)
    assert f"data_roles = toset([{rows}])" in LOCALS
    assert f'device_name = "{data.DEVICE}"' in (MODULE / "data.tf").read_text()
    enable = (ROOT / "packer/provisioners/enable-units.sh").read_text()
    assert f"in {' | '.join(data.OWNERS)}) systemctl enable --quiet bullion-data" in enable
    for role, owner in data.OWNERS.items():
        assert f"\nUSER {owner}:{owner}\n" in (ROOT / "images" / role / "Dockerfile").read_text()
        compose = ROOT / "runtime/rootfs" / role / "usr/share/bullion/stack/compose.yaml.j2"
        bind = f"source: {paths.DATA / role}\n"
        assert bind in compose.read_text()


def test_the_lifted_protection_is_the_modules_own() -> None:
    head, _, rest = terraform_source.LIFT.partition("\n")
    text = (MODULE / "data.tf").read_text()
    assert head in text
    assert "prevent_destroy = true" in text
    assert "prevent_destroy = false" in rest
    assert head == 'resource "{}" "{}" {{'.format(*terraform_source.KEPT.split("."))
