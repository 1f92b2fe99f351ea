"""What ./invoke does on a computer that lacks something, which here is a folder as its whole PATH.

Of the programs there, those that would need root, the network or minutes are scripts of a test.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import zipfile
from pathlib import Path

import pytest

from runtime import proc
from runtime.settings import ROOT

# What any Debian has, and the wrapper uses.
ESSENTIAL = (
    *("bash", "cat", "chmod", "cp", "cut", "dirname", "env", "find", "flock", "grep", "head"),
    *("ln", "mkdir", "mktemp", "mv", "rm", "sed", "seq", "sh", "sha256sum", "sleep", "sort"),
    *("tail", "timeout", "touch", "uname", "unzip"),
)
# What apt has brought.
HAD = ("docker", "dockerd", "gpg", "ip", "mmdebstrap", "mvn", "newuidmap", "pgrep", "ssh")
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
NAMES = {
    "packer": "packer",
    "packer-plugin-amazon": f"packer-plugin-amazon_v1.8.2_x5.0_linux_{ARCH}",
}
# What follows -o is the file to write; the last word is the address.
FETCH = 'for word in "$@"; do [ "$before" = -o ] && to=$word; before=$word; done\n'
FETCH += 'from="$SITE/${word#https://releases.hashicorp.com/}"; [ -e "$from" ] || exit 22\n'
# packer plugins install --path PLUGIN SOURCE: leaves what the plugin says.
PACKER = 'mkdir -p "$PACKER_PLUGIN_PATH"; "$4" >"$PACKER_PLUGIN_PATH/said"'


class Computer:
    """A checkout whose .venv is ready and whose Python says only that it was reached."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.cache = folder / "cache/bullion"
        self.site = folder / "site"
        self._home, self._checkout = folder, folder / "checkout"
        for made in (self.programs, self.site, self._checkout / ".venv/bin"):
            made.mkdir(parents=True)
        for name in ESSENTIAL:
            found = shutil.which(name)
            assert found
            (self.programs / name).symlink_to(found)
        files = [
            shutil.copy(ROOT / name, self._checkout) for name in ("requirements.lock", "invoke")
        ]
        ready = hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:16]
        (self._checkout / ".venv/ready").write_text(ready)
        self._script(self._checkout / ".venv/bin/python", "echo reached")
        self.have("id", '[ "$1" = -u ] && echo 0 || echo root')
        for name in HAD:
            self.have(name)
        self.have("terraform", """echo '  "terraform_version": "1.13.5"'""")

    def have(self, name: str, body: str = "") -> None:
        """Put a program there that does what `body` says."""
        self._script(self.programs / name, body)

    def lack(self, *names: str) -> None:
        """Take programs away."""
        for name in names:
            (self.programs / name).unlink()

    def belong_to(self, user: str) -> None:
        """Be used by somebody who is not root."""
        self.have("id", f'[ "$1" = -u ] && echo 1000 || echo {user}')

    def publish(self, product: str, version: str, body: str, sums: str = "") -> None:
        """Have the vendor's site offer a release, with a license beside the program."""
        folder = self.site / product / version
        folder.mkdir(parents=True)
        file = folder / f"{product}_{version}_linux_{ARCH}.zip"
        program = zipfile.ZipInfo(NAMES[product])
        program.external_attr = 0o755 << 16
        program.create_system = 3  # Unix: the mode counts
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("LICENSE.txt", "a license")
            archive.writestr(program, f"#!/bin/sh\n{body}\n")
        seen = sums or hashlib.sha256(file.read_bytes()).hexdigest()
        (folder / f"{product}_{version}_SHA256SUMS").write_text(f"{seen}  {file.name}\n")

    def up(self) -> proc.Completed:
        """Run ./invoke up."""
        env = {
            "PATH": str(self.programs),
            "HOME": str(self._home),
            "XDG_CACHE_HOME": str(self.cache.parent),
            "SITE": str(self.site),
        }
        argv = ["bash", self._checkout / "invoke", "up"]
        return proc.run(argv, timeout_s=60, env=env, ok=range(-15, 256))

    @staticmethod
    def _script(path: Path, body: str) -> None:
        path.unlink(missing_ok=True)  # a link leads to this computer's own program
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    """A computer that has everything but Packer."""
    one = Computer(tmp_path)
    one.have("curl", FETCH + 'cp "$from" "$to"')
    one.have(
        "go",
        'case "$1" in env) echo go1.26.0 ;; *)\n'
        """echo '{'; echo '  "Error": "no route to host"'; echo '}'; exit 1 ;; esac""",
    )
    return one


def test_packer_and_its_plugin_come_from_the_vendor_and_need_no_go(computer: Computer) -> None:
    computer.publish("packer", "1.16.0", PACKER)
    computer.publish("packer-plugin-amazon", "1.8.2", "echo the plugin")
    computer.lack("go")
    done = computer.up()
    assert (done.status, done.stdout) == (0, "reached\n"), done.stderr
    assert (computer.cache / "packer-plugins-1.8.2/said").read_text() == "the plugin\n"
    kept = {"packer-1.16.0", "packer-plugin-amazon-1.8.2", "packer-plugins-1.8.2", "packer.lock"}
    assert {path.name for path in computer.cache.iterdir()} == kept


def test_a_plugin_that_the_vendor_has_not_is_built(computer: Computer) -> None:
    computer.publish("packer", "1.16.0", PACKER)
    done = computer.up()
    assert done.status == 3
    assert "building github.com/hashicorp/packer-plugin-amazon v1.8.2" in done.stderr


def test_a_go_older_than_what_a_module_asks_for_may_fetch_a_newer(
    computer: Computer, tmp_path: Path
) -> None:
    module = tmp_path / "module"
    module.mkdir()
    computer.publish("packer", "1.16.0", PACKER)
    computer.have(
        "go",
        f"""case "$1" in env) echo go1.22.2 ;; mod) echo '  "Dir": "{module}"' ;; build)
        [ "$GOTOOLCHAIN" = auto ] && cp "$0" "$6" ;; esac""",
    )
    done = computer.up()
    assert (done.status, done.stdout) == (0, "reached\n"), done.stderr


def test_a_go_that_could_not_fetch_a_newer_is_refused(computer: Computer) -> None:
    computer.have("go", "echo go1.19.8")
    done = computer.up()
    assert done.status == 3
    assert "needs Go 1.21 or newer; here is go1.19.8\n" in done.stderr


def test_a_plugin_that_packer_refuses_is_named(computer: Computer) -> None:
    computer.publish("packer", "1.16.0", "exit 1")
    computer.publish("packer-plugin-amazon", "1.8.2", "echo the plugin")
    done = computer.up()
    assert done.status == 3
    assert "✗ Packer could not install its amazon plugin" in done.stderr


def test_a_go_module_that_cannot_be_had_is_named_with_its_reason(computer: Computer) -> None:
    done = computer.up()
    assert done.status == 3
    assert done.stderr.endswith(
        "✗ the Go module github.com/hashicorp/packer v1.16.0 can't be had: no route to host\n"
        "  hint: check the network, then try again\n"
    )


@pytest.mark.parametrize(
    "goes",
    [
        pytest.param('head -c 99 "$from" >"$to"; exit 18', id="broken off"),
        pytest.param('head -c 99 "$from" >"$to"', id="short without an error"),
        pytest.param('head -c 99 "$from" >"$to"; kill "$PPID"', id="killed"),
    ],
)
def test_of_a_download_that_comes_to_half_nothing_stays(computer: Computer, goes: str) -> None:
    computer.publish("packer", "1.16.0", PACKER)
    computer.have("curl", FETCH + goes)
    done = computer.up()
    assert done.status in (3, -15)
    assert [path.name for path in computer.cache.iterdir()] == ["packer.lock"]


def test_a_download_with_another_checksum_is_refused(computer: Computer) -> None:
    computer.publish("packer", "1.16.0", PACKER, sums="0" * 64)
    done = computer.up()
    assert done.status == 3
    assert f"✗ the checksum of packer_1.16.0_linux_{ARCH}.zip does not match" in done.stderr
    assert [path.name for path in computer.cache.iterdir()] == ["packer.lock"]


def test_a_download_that_cannot_be_unpacked_is_built_instead(computer: Computer) -> None:
    computer.publish("packer", "1.16.0", PACKER)
    computer.have("unzip", "echo 'write error (disk full?)' >&2; exit 50")
    done = computer.up()
    assert done.status == 3
    assert "building github.com/hashicorp/packer v1.16.0 from source" in done.stderr


APT = 'echo "$@" >>"$HOME/apt"; echo "E: no such thing"; [ "$1" = update ]'


@pytest.mark.parametrize(
    ("lacked", "needs"),
    [("mvn", "installing maven by apt needs root"), ("docker", "starting Docker needs root")],
)
def test_without_root_and_sudo_there_is_one_error(
    computer: Computer, lacked: str, needs: str
) -> None:
    computer.belong_to("kim")
    computer.lack(lacked)
    computer.have("apt-get", APT)
    done = computer.up()
    assert done.status == 3
    assert done.stderr == f"✗ {needs}, and there is no sudo\n  hint: run ./invoke as root\n"


LACKED = ("curl", "gpg", "ip", "mmdebstrap", "mvn", "newuidmap", "pgrep", "ssh", "unzip")
PACKAGES = "curl unzip procps iproute2 openssh-client maven mmdebstrap gpg"


def test_what_is_missing_comes_by_one_call_of_apt_that_removes_nothing(
    computer: Computer, tmp_path: Path
) -> None:
    computer.lack(*LACKED)
    computer.have("apt-get", APT)
    done = computer.up()
    assert done.status == 3
    assert f"✗ apt could not install {PACKAGES}" in done.stderr
    assert "the last line: E: no such thing\n" in done.stderr
    update, install = (tmp_path / "apt").read_text().splitlines()
    assert update.split()[0] == "update"
    assert f"--no-remove --no-install-recommends {PACKAGES}" in install


def test_without_root_mmdebstrap_gets_what_maps_users(computer: Computer) -> None:
    computer.belong_to("kim")
    computer.lack(*LACKED)
    computer.have("apt-get", APT)
    computer.have("sudo", '"$@"')
    assert f"✗ apt could not install {PACKAGES} uidmap" in computer.up().stderr


# sudo tells it from anybody else, as the socket of Docker does.
ROOTS = '[ "$ROOT" = yes ]'


def test_a_docker_that_answers_only_root_is_asked_for_by_group(computer: Computer) -> None:
    computer.belong_to("kim")
    computer.have("docker", ROOTS)
    computer.have("sudo", 'ROOT=yes "$@"')
    done = computer.up()
    assert done.status == 3
    assert done.stderr == (
        "✗ Docker answers root, but not kim\n"
        "  hint: sudo usermod -aG docker kim, then log in again\n"
    )


def test_a_docker_that_may_not_be_started_is_not_waited_for(computer: Computer) -> None:
    computer.belong_to("kim")
    computer.have("docker", ROOTS)
    computer.have("sudo", "echo kim is not in the sudoers file >&2; exit 1")
    computer.have("sleep", "echo waited >&2")
    done = computer.up()
    assert done.status == 3
    assert "✗ Docker could not be started" in done.stderr
    assert "waited" not in done.stderr
