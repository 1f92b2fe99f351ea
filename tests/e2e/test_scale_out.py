"""Processors come, end without a word and go, all under load: nothing is lost, nothing twice."""

from __future__ import annotations

import json
import re
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import wait
from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract import ports
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.deploy.terraform import Terraform
from runtime.settings import Settings
from runtime.verbs.common import newest
from runtime.verify import checks
from runtime.verify.workflow import COLLECTIONS
from tests.e2e.counting import arrive, counts
from tests.e2e.load import Load, again_and_again

pytestmark = pytest.mark.e2e

PROCESSORS = {"processor", "processor-2", "processor-3"}
EVERY = {
    f"{topic}/{number}" for topic in ("gpu.metrics.v1", "token.usage.v1") for number in range(4)
}
RUN = 600  # messages per topic and run
PACE = ("--batch-size", "20", "--interval", "0.1")


def shares(target: Target) -> dict[str, set[str]]:
    """Return {processor: its partitions} of those that answer."""
    found = {}
    for name, machine in machines.find_all(target).items():
        if machine.role is Role.PROCESSOR and machine.state == "running":
            url = f"http://{machine.address}:{ports.HTTP}/health"
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    found[name] = set(json.loads(answer.read())["assigned"])
            except OSError:
                continue
    return found


def spread(target: Target, over: set[str]) -> dict[str, set[str]]:
    """Wait until each partition is one processor's, of `over` and each with some; return whose."""
    last: dict[str, set[str]] = {}

    def is_so() -> bool:
        last.clear()
        last.update(shares(target))
        each = sorted(one for share in last.values() for one in share)
        return last.keys() == over and all(last.values()) and each == sorted(EVERY)

    wait.until(is_so, what=f"a share for each of {over}", timeout_s=120, last=lambda: str(last))
    return dict(last)


def end_with_its_hands_full(target: Target, name: str) -> None:
    """Pull the plug of a processor while the store has not yet answered to what it sent."""
    machine, mongo = machines.find(target, name), machines.find(target, Role.MONGO)

    def signal(what: str) -> None:
        words = ["sudo", "docker", "kill", "--signal", what, "bullion-mongo-1"]
        ssh.run(target, mongo, words, timeout_s=30)

    def has_some() -> bool:
        with urllib.request.urlopen(f"http://{machine.address}:{ports.HTTP}/metrics") as answer:
            return re.search(
                r"^pipeline_inflight_batches [1-9]", answer.read().decode(), re.MULTILINE
            )

    signal("STOP")
    try:
        wait.until(has_some, what="a batch that is not stored", timeout_s=30)
        target.ec2.stop_instances(InstanceIds=[machine.id], Force=True)
        wait.until(
            lambda: machines.find_all(target)[name].state == "stopped",
            what=f"the end of {name}",
            timeout_s=30,
        )
    finally:
        signal("CONT")


@pytest.fixture
def three(target: Target, tmp_path: Path, invoke) -> Iterator[Path]:
    """Variables that ask for three processors; one again afterwards, whatever happened."""
    file = tmp_path / "three.tfvars.json"
    file.write_text(json.dumps({"processor_count": len(PROCESSORS)}))
    yield file
    if list(machines.find_all(target)) != list(MACHINE_ROLES):
        assert invoke("deploy").status == 0


def test_processors_share_the_load_and_what_one_leaves_behind(
    target: Target, lab_settings: Settings, three: Path, invoke
) -> None:
    variables = newest(lab_settings).variables
    first, before = machines.find_all(target), counts(target)
    terraform = Terraform(lab_settings, target)
    terraform.init()
    load, prefix = Load(target=target), f"scale-{uuid.uuid4().hex[:8]}"
    with again_and_again(lambda n: load.send_named(f"{prefix}-{n}", RUN, *PACE)) as run:
        terraform.apply([variables, three])
        assert not terraform.has_changes([variables, three])
        owned = spread(target, PROCESSORS)
        assert {len(share) for share in owned.values()} == {2, 3}
        end_with_its_hands_full(target, "processor-3")
        spread(target, PROCESSORS - {"processor-3"})
        assert machines.find_all(target)["processor-3"].state == "stopped"
        places = machines.find_places(target)  # which a verify asks, machine or none
        assert checks.choose([Role.PROCESSOR], {}, places) == sorted(PROCESSORS)
        assert not run.done()
        back = invoke("deploy")
        spread(target, {"processor"})
        assert not run.done()
    sent = Counter(name for names in run.result() for name in names)

    assert back.status == 0, back.stderr[-3000:]
    assert machines.find_all(target) == first  # the same machines as before, and no others
    assert not terraform.has_changes([variables])
    wanted = {name: before[name] + sent.total() for name in COLLECTIONS}
    arrive(target, wanted)
    for stored in map(Counter, load.stored(prefix).values()):
        assert (sent - stored, stored - sent) == (Counter(), Counter())  # lost, and more than once
