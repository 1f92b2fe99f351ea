"""systemd and the data volume: Docker and the stack wait for it, however late it comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime import wait
from runtime.contract import paths
from runtime.contract.checks import parse_checks
from runtime.contract.roles import Role
from runtime.contract.status import BootStatus
from runtime.settings import ROOT, Settings
from tests.contract.guest import Guest, Volume, image, volumes

BASE = ROOT / "runtime/rootfs/base"
ETC = "/etc/systemd/system"
BOOTED = BootStatus(ok=True, role="kafka")
STORED = "/var/lib/bullion/data/kafka/stored"
# The source AMI has neither Docker nor metadata: these two units stand in for what needs them.
STAND_IN = b"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=sleep 1\n"
STACK = f"[Service]\nExecStart=\nExecStart=touch {STORED}\nExecStartPost=\nExecStop=\n"
IMPATIENT = b"[Service]\nExecStart=\nExecStart=/usr/bin/bullion data --wait 0.5\nRestartSec=0.2\n"
PREPARE = f"""
systemctl mask ssh cloud-init-local cloud-init-main cloud-init-network cloud-config cloud-final
systemctl enable bullion-stack bullion-data
systemd-analyze verify {ETC}/bullion-*.service
"""


@pytest.fixture
def volume(tmp_path) -> Iterator[Volume]:
    with volumes(tmp_path) as make:
        yield make()


@pytest.fixture
def kafka(volume: Volume, lab_settings: Settings) -> Iterator[Guest]:
    """A kafka machine with our own units, not started yet."""
    with image(lab_settings) as name:
        files = {
            f"/{path.relative_to(BASE)}": path.read_bytes()
            for path in BASE.rglob("*")
            if path.is_file()
        }
        files |= {
            f"{ETC}/{unit}.service": STAND_IN + b"[Install]\nWantedBy=multi-user.target\n"
            for unit in ("docker", "bullion-boot")
        }
        files[f"{ETC}/bullion-stack.service.d/test.conf"] = STACK.encode()
        files[f"{ETC}/bullion-data.service.d/test.conf"] = IMPATIENT
        guest = Guest(name, Role.KAFKA, files=files, prepare=PREPARE)
        try:
            yield guest
        finally:
            guest.remove()


def state(guest: Guest, unit: str) -> str:
    return guest.run("systemctl", "show", "--property=ActiveState", "--value", unit).said.strip()


def tries(guest: Guest) -> int:
    show = ["systemctl", "show", "--property=NRestarts", "--value", "bullion-data"]
    said = guest.run(*show).said.strip()
    return int(said) if said.isdigit() else 0  # systemd does not answer yet


def test_docker_and_the_stack_wait_through_failed_tries_and_outlive_the_mount(
    kafka: Guest, volume: Volume
) -> None:
    kafka.start()
    wait.until(lambda: tries(kafka) >= 3, what="tries", timeout_s=60)
    waiting = [state(kafka, unit) for unit in ("docker", "bullion-stack")]
    failed = kafka.run("systemctl", "--failed", "--plain", "--no-legend").said
    kafka.run("sh", "-ec", f"mkdir -p /run/bullion; echo '{BOOTED.to_json()}' > {paths.STATUS}")
    checked = kafka.run("bullion", "check", "--json")

    kafka.attach(volume)
    wait.until(lambda: state(kafka, "bullion-stack") == "active", what="the stack", timeout_s=60)
    where = kafka.run("stat", "--format=%m", STORED).said.strip()
    journal = kafka.run("journalctl", "--boot", "--no-pager").said
    kafka.container.stop(timeout=30)
    console = kafka.container.logs().decode()

    assert (waiting, failed) == (["inactive", "inactive"], "")
    last = parse_checks(checked.said)[-1]
    assert (last.name, last.ok) == ("data volume", False)
    assert "no volume is attached" in last.seen
    assert where == "/var/lib/bullion/data"
    assert "ordering cycle" not in journal
    assert f"{volume.id} is blank" in journal
    stopped, unmounted = (
        console.index(f"{what}\x1b")
        for what in (
            "Stopped \x1b[0;1;39mdocker.service",
            "Unmounted \x1b[0;1;39mvar-lib-bullion-data.mount",
        )
    )
    assert stopped < unmounted
