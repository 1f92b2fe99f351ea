"""A bake that is killed at whatever moment leaves nothing that stays; of two at once one bakes."""

from __future__ import annotations

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime import lock, proc, wait
from runtime.bake import survey
from runtime.bake.packer import parse_row, phase_of
from runtime.cloud import amis, leftovers
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.lab import control
from runtime.settings import Settings
from tests.conftest import Invoke
from tests.observing import HEEDING_SIGINT, holder, resources

ROLE = Role.PRODUCERS  # the smallest
MOMENTS = [  # phases of Packer's run, each with one of the two signals
    ("preparing", signal.SIGKILL),
    ("launching", signal.SIGINT),
    ("booting", signal.SIGKILL),
    ("uploading", signal.SIGINT),
    ("install-rootfs", signal.SIGKILL),
    ("load-images", signal.SIGINT),
    ("cleanup", signal.SIGKILL),
    ("stopping", signal.SIGINT),
    ("creating AMI", signal.SIGKILL),
    ("cleaning up", signal.SIGKILL),
]


@pytest.fixture(scope="module")
def target(lab_settings: Settings, invoke: Invoke) -> Target:
    """A lab in which the base and the role are baked."""
    up = control.up(lab_settings)
    baked = invoke("bake", "--role", ROLE)
    assert baked.status == 0, baked.stderr[-4000:]
    return up


@pytest.mark.parametrize(("phase", "number"), MOMENTS)
def test_nothing_is_left_of_a_bake_that_ends_while_it_is(
    target: Target, lab_settings: Settings, invoke: Invoke, phase: str, number: signal.Signals
) -> None:
    before, known = resources(target), amis.by_key(target, ROLE)
    said, status = bake(lab_settings, phase, number)
    assert phase in phases(lab_settings.work_dir / f"bake/{ROLE}.log"), said
    if number is signal.SIGINT:
        assert status == 130, said
    else:
        assert status == -signal.SIGKILL, said
        cleaned = invoke("janitor", "--yes")
        assert cleaned.status == 0, cleaned.stderr

    assert leftovers.find_of_bakes(target) == []
    whole = set(amis.by_key(target, ROLE).values()) - set(known.values())
    assert whole == set() or phase == "cleaning up"
    gone = remove(target, whole)
    assert resources(target) == before, gone
    assert not list(lab_settings.runs_dir.iterdir())
    assert not list(survey.scratch_dir(lab_settings).iterdir())


def test_the_janitor_asks_and_tells_what_would_go(
    target: Target, lab_settings: Settings, invoke: Invoke
) -> None:
    tags = [{"Key": "bullion:run", "Value": "20261125T000000-aaaaaa"}]
    volume = target.ec2.create_volume(
        AvailabilityZone=f"{target.region}a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )["VolumeId"]
    target.ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig={"Delay": 1})
    asked = invoke("janitor", "--json")
    with lock.mark(lab_settings.runs_dir, tags[0]["Value"], what="a test"):
        pass  # a run that ended as it should leaves no file
    done = invoke("janitor", "--yes")
    again = invoke("janitor")

    assert asked.status == 2, asked.stderr
    assert "nothing was removed" in asked.stderr
    assert [row["id"] for row in json.loads(asked.stdout)] == [volume]
    assert done.status == 0, done.stderr
    assert "nothing is left of runs that are over" in done.stderr
    assert again.status == 0
    assert "nothing is left of any bake or trial stack" in again.stderr


def test_of_two_bakes_of_one_key_one_bakes_and_the_other_waits_for_its_ami(
    target: Target, lab_settings: Settings, invoke: Invoke
) -> None:
    known = set(amis.by_key(target, ROLE).values())
    try:
        with ThreadPoolExecutor() as pool:
            one = pool.submit(invoke, "bake", "--role", ROLE, "--force", "--json")
            wait.until(
                lambda: one.done() or lock.is_held(lab_settings.work_dir / "lock"),
                what="the first bake to begin",
                timeout_s=120,
                every_s=0.05,
            )
            other = invoke("bake", "--role", ROLE, "--json")
            done = one.result()
        assert (done.status, other.status) == (0, 0), done.stderr + other.stderr
        baked, kept = (json.loads(each.stdout)[ROLE] for each in (done, other))
        assert (baked["did"], kept["did"]) == ("baked", "kept")
        assert baked["AMI"] == kept["AMI"]
        assert baked["AMI"] not in known
        assert "Waiting, as another run is at work here: ./invoke bake, process" in other.stderr
    finally:
        remove(target, set(amis.by_key(target, ROLE).values()) - known)


def bake(settings: Settings, phase: str, number: signal.Signals) -> tuple[str, int]:
    """Bake `ROLE` and signal the verb as Packer begins `phase`; return its words and status."""
    log, over = settings.work_dir / f"bake/{ROLE}.log", threading.Event()
    log.unlink(missing_ok=True)

    def watch() -> None:
        while phase not in phases(log):
            if over.wait(0.02):
                return
        os.kill(holder(settings), number)

    watching = threading.Thread(target=watch)
    argv = [*HEEDING_SIGINT, settings.root / "invoke", "bake", "--role", ROLE, "--force"]
    with proc.stream(argv, env=settings.passed_on(), grace_s=120) as running:
        watching.start()
        said = "\n".join(running.lines)
        over.set()
        status = running.wait(120)
    watching.join()
    return said, status


def phases(log: Path) -> set[str]:
    """Return the phases that Packer has begun."""
    rows = log.read_text().splitlines() if log.exists() else []
    said = (data[-1] for kind, data in map(parse_row, rows) if kind == "ui" and data)
    return {phase_of(text) for text in said}


def remove(target: Target, whole: set[str]) -> list[str]:
    """Remove AMIs that a test's bakes made whole: no leftovers, but none that is needed."""
    for ami in whole:
        target.ec2.deregister_image(ImageId=ami, DeleteAssociatedSnapshots=True)
    return sorted(whole)
