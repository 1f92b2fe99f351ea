"""Every machine boots clean in the eyes of systemd, the journal and cloud-init itself."""

from __future__ import annotations

import json
import re

import pytest

from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role

pytestmark = pytest.mark.e2e

# What may stand in the journal of a boot at `warning` or worse: {pattern: why it is none of ours}.
EXPECTED = {
    r"docker\.service: Referenced but unset environment variable .* DOCKER_OPTS": (
        "Debian's unit reads it from a file that is empty by default"
    ),
    r"kauditd|audit: ": "the audit subsystem belongs to the host's kernel",
    r"bullion-data: waiting for ": "Terraform attaches a volume after its machine has started",
}


def on(target: Target, role: Role, *words: str) -> str:
    done = ssh.run(target, machines.find(target, role), list(words), timeout_s=90, ok=range(256))
    assert done.status == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("role", MACHINE_ROLES)
def test_nothing_worth_a_warning_happens_until_a_machine_has_booted(
    target: Target, role: Role
) -> None:
    shown = on(target, role, "systemctl", "show", "--property=FinishTimestampMonotonic", "--value")
    rows = on(target, role, "sudo", "journalctl", "-b", "-p", "warning", "-o", "json")
    until = int(shown)
    assert until > 0  # it has booted
    said = [
        str(row["MESSAGE"])
        for row in map(json.loads, rows.splitlines())
        if int(row["__MONOTONIC_TIMESTAMP"]) <= until and "CONTAINER_NAME" not in row
    ]
    assert [line for line in said if not any(re.search(one, line) for one in EXPECTED)] == []


@pytest.mark.parametrize("role", MACHINE_ROLES)
def test_cloud_init_has_nothing_to_complain_about(target: Target, role: Role) -> None:
    status = json.loads(on(target, role, "cloud-init", "status", "--format", "json"))
    assert (status["status"], status["extended_status"]) == ("done", "done")
    assert (status["errors"], status["recoverable_errors"]) == ([], {})
    assert status["datasource"] == "ec2"
    assert "Valid schema" in on(target, role, "sudo", "cloud-init", "schema", "--system")


@pytest.mark.parametrize("role", MACHINE_ROLES)
def test_systemd_finds_no_fault_in_any_unit(target: Target, role: Role) -> None:
    # Manual pages are left out of the machines, and with them the check for those.
    verify = "systemd-analyze verify --man=no default.target /etc/systemd/system/bullion-*.service"
    assert on(target, role, f"{verify} 2>&1") == ""
    listed = on(target, role, "systemctl", "--failed", "--plain", "--no-legend")
    assert listed == ""


def test_a_boot_compiles_nothing_of_the_machine_program(target: Target) -> None:
    folder = "pathlib.Path('/usr/lib/bullion/machine')"
    look = f"print([len(list({folder}.rglob('*.py'))), *kinds])"
    kinds = f"kinds = [path.read_bytes()[4] for path in {folder}.rglob('*.pyc')]"
    seen = on(target, Role.KAFKA, f'python3 -c "import pathlib; {kinds}; {look}"')
    files, *flags = json.loads(seen)
    assert flags == [0b11] * files  # all checked by hash, as baked: Python itself goes by time
