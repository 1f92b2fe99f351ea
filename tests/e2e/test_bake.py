"""Same key, nothing to do; one changed file, one role."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import console
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.settings import Settings

pytestmark = pytest.mark.e2e

ROLE = Role.PROCESSOR  # tests/machines bakes the producers beside us, of the same files


def test_with_nothing_changed_every_ami_is_kept_and_no_packer_starts(
    target: Target, lab_settings: Settings, invoke
) -> None:
    before = logs(lab_settings)
    started = time.monotonic()
    done = invoke("bake", "--json")
    console.note(f"nothing to bake: {time.monotonic() - started:.1f} s")
    assert done.status == 0, done.stderr
    rows = json.loads(done.stdout)
    assert set(rows) == set(MACHINE_ROLES)
    assert {(row["did"], row["why"]) for row in rows.values()} == {("kept", "nothing changed")}
    assert logs(lab_settings) == before


@pytest.fixture
def changed(lab_settings: Settings) -> Iterator[str]:
    """A file of one role alone, changed while a test runs."""
    name = "runtime/rootfs/processor/usr/share/bullion/stack/compose.yaml.j2"
    path = lab_settings.root / name
    kept = path.read_bytes()
    path.write_bytes(kept + b"# changed\n")
    yield name
    path.write_bytes(kept)


def test_a_changed_file_is_named_and_its_role_alone_would_be_baked(
    target: Target, invoke, changed: str
) -> None:
    done = invoke("bake", "--explain", "--json")
    assert done.status == 0, done.stderr
    found = {role: one["why"] for role, one in json.loads(done.stdout).items()}
    assert found.pop(ROLE) == f"changed: {changed}"
    assert set(found.values()) == {"nothing changed"}


def logs(settings: Settings) -> dict[str, float]:
    """Return when each role's Packer last said something."""
    found: list[Path] = list((settings.work_dir / "bake").glob("*.log"))
    return {path.name: path.stat().st_mtime for path in found}
