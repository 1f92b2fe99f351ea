"""Same key, nothing to do; one changed file, one role; two bakes of one key, one AMI."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime import console, lock
from runtime.cloud import amis
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.settings import Settings

pytestmark = pytest.mark.e2e

ROLE = Role.PRODUCERS


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
    name = "runtime/rootfs/producers/usr/lib/tmpfiles.d/bullion.conf"
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


def test_of_two_bakes_of_one_key_one_bakes_and_the_other_waits_for_its_ami(
    target: Target, lab_settings: Settings, invoke
) -> None:
    known = set(amis.by_key(target, ROLE).values())
    with ThreadPoolExecutor() as pool:
        one = pool.submit(invoke, "bake", "--role", ROLE, "--force", "--json")
        while not lock.is_held(lab_settings.work_dir / "lock"):
            time.sleep(0.05)
        other = invoke("bake", "--role", ROLE, "--json")
        done = one.result()
    assert (done.status, other.status) == (0, 0), done.stderr + other.stderr
    baked, kept = (json.loads(each.stdout)[ROLE] for each in (done, other))
    assert (baked["did"], kept["did"]) == ("baked", "kept")
    assert baked["AMI"] == kept["AMI"]
    assert baked["AMI"] not in known
    assert "Waiting, as another run is at work here: ./invoke bake, process" in other.stderr
    target.ec2.deregister_image(ImageId=baked["AMI"], DeleteAssociatedSnapshots=True)


def logs(settings: Settings) -> dict[str, float]:
    """Return when each role's Packer last said something."""
    found: list[Path] = list((settings.work_dir / "bake").glob("*.log"))
    return {path.name: path.stat().st_mtime for path in found}
