"""A release on real machines: verified before it is recorded, launched, and taken back under load."""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import console, proc, wait
from runtime.cloud import ami_guards, channels, leftovers, machines
from runtime.cloud.asking import ask
from runtime.cloud.target import Target
from runtime.contract import paths
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.release import channel, ledger
from runtime.release.record import Release
from runtime.settings import Settings
from runtime.verbs import releasing
from runtime.verify.workflow import COLLECTIONS
from tests.conftest import Invoke
from tests.e2e.conftest import BROKEN, bake_again, remove_broken
from tests.e2e.counting import arrive, counts
from tests.e2e.load import Load, again_and_again

pytestmark = pytest.mark.e2e

CHANGED = (Role.KAFKA, Role.PROCESSOR)  # by the second release
Tell = Callable[[str], None]
RUN = 3000  # messages per topic and run, in about ten seconds
PACE = ("--batch-size", "200", "--interval", "0.3")


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Say a figure in the run's output; none is asserted."""

    def say(text: str) -> None:
        with capsys.disabled():
            console.note(f"\n{text}")

    return say


def files(settings: Settings) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in settings.ledger_dir.rglob("*") if path.is_file()}


def remove_amis(target: Target, ami_ids: Iterator[str] | list[str]) -> None:
    for ami_id in ami_ids:
        with contextlib.suppress(target.ec2.exceptions.ClientError):
            target.ec2.disable_image_deregistration_protection(ImageId=ami_id)
        target.ec2.deregister_image(ImageId=ami_id, DeleteAssociatedSnapshots=True)


def deployed(settings: Settings, target: Target) -> Release:
    """Return the release that all machines run, by AMI and by tag, and the channel has."""
    release = releasing.release_of(settings, target, "stable")
    found = machines.find_all(target)
    assert {role: one.ami_id for role, one in found.items()} == release.ami_ids
    assert {one.release for one in found.values()} == {release.version}
    return release


def tagged(tags: list[dict[str, str]], *kinds: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tags} for kind in kinds]


@pytest.fixture
def broken(target: Target, lab_settings: Settings) -> Iterator[str]:
    """An AMI as from a bake of the producers, newer than the good one, that can't boot."""
    good = machines.find(target, Role.PRODUCERS).ami_id
    tags = ask(target, "describe_images", ImageIds=[good])["Images"][0]["Tags"]
    docker, spoil = connect(), ["bash", "-c", f"echo '{{}}' > {paths.MANIFEST}"]
    try:
        made = target.ec2.run_instances(
            ImageId=good,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=tagged([{"Key": "Name", "Value": BROKEN}], "instance"),
        )
        (machine_id,) = [item["InstanceId"] for item in made["Instances"]]
        name = Hypervisor(docker, lab_settings.lab_id).name(machine_id)
        assert docker.containers.get(name).exec_run(spoil).exit_code == 0
        ami_id = target.ec2.create_image(
            InstanceId=machine_id,
            Name=BROKEN,
            NoReboot=True,
            TagSpecifications=tagged(tags, "image", "snapshot"),
        )["ImageId"]
        target.ec2.get_waiter("image_available").wait(ImageIds=[ami_id])
        target.ec2.terminate_instances(InstanceIds=[machine_id])
        yield str(ami_id)
    finally:
        remove_broken(target)


def test_the_release_that_up_made_has_all_that_is_to_be_known_of_it(
    target: Target, lab_settings: Settings
) -> None:
    release = deployed(lab_settings, target)
    assert (release.verified.checks, release.verified.target) == (27, "lab")
    assert dict(release.verified.deltas) == {"gpu_metrics": 100, "token_usage": 100}
    guards = ami_guards.read(target, release.ami_ids.values())
    for role, part in release.parts.items():
        assert guards[part.ami_id].is_protected
        assert guards[part.ami_id].faults() == []
        assert guards[part.ami_id].deprecated_at
        assert part.parameters
        assert str(paths.MACHINE_PROGRAM / "__main__.py") in part.files
        assert ledger.read_sbom(release, role)["components"]
    assert {role for role, part in release.parts.items() if part.data_format} == {
        Role.KAFKA,
        Role.MONGO,
    }
    assert release.gate.startswith("did not run: ")
    assert leftovers.find_of_trials(target) == []


def test_amis_that_fail_a_check_are_not_recorded_and_their_trial_is_gone(
    target: Target, lab_settings: Settings, invoke: Invoke, broken: str
) -> None:
    before, recorded = machines.find_all(target), files(lab_settings)
    done = invoke("release.create")
    assert done.status == 9, done.stderr[-3000:]
    assert "producers: boot" in done.stderr
    assert files(lab_settings) == recorded
    assert leftovers.find_of_trials(target) == []
    assert machines.find_all(target) == before
    assert "bullion:release" in {  # of the AMI that it is a copy of, and of no other release
        tag["Key"] for tag in ask(target, "describe_images", ImageIds=[broken])["Images"][0]["Tags"]
    }


@pytest.fixture
def second(target: Target, lab_settings: Settings, invoke: Invoke, tell: Tell) -> Iterator[Release]:
    """A release that differs from the first in `CHANGED`; gone again afterwards."""
    bake_again(lab_settings, target, CHANGED)
    started = time.monotonic()
    done = invoke("release.create")
    tell(f"release.create with nothing to bake: {time.monotonic() - started:.1f} s")
    assert done.status == 0, done.stderr[-3000:]
    release = ledger.load(lab_settings.ledger_dir, done.stdout.strip())
    yield release
    first = releasing.release_of(lab_settings, target, "stable")
    remove_amis(target, [a for a in release.ami_ids.values() if a not in first.ami_ids.values()])
    release.variables.unlink()
    shutil.rmtree(ledger.sbom_path(release, Role.KAFKA).parent)


@pytest.mark.timeout(1800)  # two bakes, a trial and two launches, with whatever else is at work
def test_a_release_is_launched_and_taken_back_under_load_without_a_loss(
    target: Target, lab_settings: Settings, invoke: Invoke, second: Release, tell: Tell
) -> None:
    first, before = deployed(lab_settings, target), counts(target)
    machine_ids = {role: one.id for role, one in machines.find_all(target).items()}
    assert {r for r in MACHINE_ROLES if second.ami_ids[r] != first.ami_ids[r]} == set(CHANGED)
    assert deployed(lab_settings, target) == first  # a create leaves what runs alone

    load, prefix = Load(target=target), f"release-{uuid.uuid4().hex[:8]}"
    with again_and_again(lambda n: load.send_named(f"{prefix}-{n}", RUN, *PACE)) as run:
        wait.pause(5)
        took = {"promote": timed(invoke, "release.promote", second.version)}
        took["deploy"] = timed(invoke, "deploy")
        assert deployed(lab_settings, target) == second
        took["rollback"] = timed(invoke, "rollback")
        assert deployed(lab_settings, target) == first
        assert not run.done()
        wait.pause(5)
    sent = Counter(name for names in run.result() for name in names)
    for what, seconds in took.items():
        tell(f"{what}: {seconds:.1f} s")

    wanted = {name: before[name] + sent.total() for name in COLLECTIONS}
    after = arrive(target, wanted)
    tell(f"sent and confirmed per topic: {sent.total()}")
    for stored in map(Counter, load.stored(prefix).values()):
        assert (sent - stored, stored - sent) == (Counter(), Counter())  # lost, and more than once
    assert {name: after[name] for name in COLLECTIONS} == wanted
    assert after["dead_letters"] == before["dead_letters"]
    now = {role: one.id for role, one in machines.find_all(target).items()}
    assert {role for role in MACHINE_ROLES if now[role] != machine_ids[role]} == set(CHANGED)
    guards = ami_guards.read(target, {*first.ami_ids.values(), *second.ami_ids.values()})
    assert {a for a, one in guards.items() if one.is_protected} == set(first.ami_ids.values())
    trail = channel.trail(channels.history(target), "stable")
    assert trail[-1] == first.version
    assert second.version not in trail  # nothing leads back to it but a promote
    # The stand-in for MongoDB reads all of this for a question: too slow for the checks to come.
    timed(invoke, "mongo-factory-reset", "--yes")


def timed(invoke: Invoke, *words: str) -> float:
    started = time.monotonic()
    done: proc.Completed = invoke(*words)
    assert done.status == 0, done.stderr[-3000:]
    return time.monotonic() - started
