"""Docker is killed or restarted under a living lab; when it is back, so are the machines.

Others work with this computer's Docker, so the lab of this test has a Docker of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import proc, wait
from tests.machines.own_lab import BOOT_ID, Lab

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("dockerd"), reason="starts a dockerd, as root"
    ),
]


class Docker:
    """A dockerd beside the computer's, which leaves the computer's firewall alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers; one that was killed may need a second start, as systemd gives."""
        argv = ["setpriv", "--pdeathsig", "TERM", "dockerd"]  # it ends with us, if we are killed
        argv += [f"--host={self.host}", f"--pidfile={self.folder}/pid", "--bridge=none"]
        argv += [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"]
        argv += ["--iptables=false", "--ip-masq=false", "--ip-forward=false"]

        def answers() -> bool:
            if self.process is None or self.process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self.process = subprocess.Popen(
                        argv, stdout=log, stderr=log, start_new_session=True
                    )
            asked = ["docker", "version", "--format", "{{.Server.Version}}"]
            return proc.run(asked, timeout_s=20, ok=range(256)).status == 0

        wait.until(answers, what="a Docker of our own", timeout_s=180, every_s=0.5)

    def end(self, number: signal.Signals) -> None:
        """End it by a signal."""
        assert self.process
        self.process.send_signal(number)
        self.process.wait(60)


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    folder = tmp_path_factory.mktemp("docker")
    made = Docker(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", made.host)
        try:
            made.start()
            yield made
        finally:
            made.end(signal.SIGTERM)
    proc.run(["umount", folder / "data"], timeout_s=30, ok=range(256))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def lab(docker: Docker) -> Iterator[Lab]:
    assert docker.process
    made = Lab("docker")
    yield made
    made.verb("lab.reset", "--yes")
    made.hypervisor.docker.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_machines_are_back_when_docker_is(lab: Lab, docker: Docker, number: signal.Signals) -> None:
    machine = lab.launch("kept")
    before, boot = lab.world(), lab.run(machine, BOOT_ID)
    docker.end(number)
    docker.start()
    lab.up()
    assert lab.world() == before
    assert lab.run(machine, BOOT_ID) != boot
    assert lab.run(machine, f"ip -4 -o address show eth0 | grep -c {machine.address}") == "1\n"
