"""Power goes under load, machine by machine: what was confirmed is stored, and stored once.

A machine of the lab shares this computer's kernel, which goes on when it is killed and would write
out what a loss of power takes. So the file system of its data volume is shut down first: from then
on nothing gets to the volume. What else a machine has, a restart makes again.
"""

from __future__ import annotations

import re
import urllib.request
import uuid
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from runtime import wait
from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract import paths, ports
from runtime.contract.data import OWNERS
from runtime.contract.roles import Role
from runtime.errors import CommandError, UsageError
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.settings import Settings
from runtime.verify import workflow
from tests.contract.power import CUT
from tests.e2e.counting import counts
from tests.e2e.load import Load, again_and_again

pytestmark = pytest.mark.e2e

STACKS = (Role.KAFKA, Role.MONGO, Role.PROCESSOR)  # the producers run when they are told to
GPUS = "gpu_metrics"
RUN = 400  # messages, in about ten seconds
FLOWS_AGAIN_S = 180
PACE = ("--batch-size", "20", "--interval", "0.5")
SLOW = ("--batch-size", "10", "--interval", "0.5")  # two minutes for a run that is cut


class Stack:
    """The deployed stack, and this computer's hands on its machines."""

    def __init__(self, target: Target, settings: Settings) -> None:
        self.target, self.docker = target, connect()
        self.load = Load(target=target, collections=[GPUS])
        self.hypervisor = Hypervisor(self.docker, settings.lab_id)

    def stored(self, prefix: str) -> list[str]:
        """Return the host of each stored measurement whose host begins so."""
        return self.load.stored(prefix)[GPUS]

    def dead_letters(self) -> int:
        return counts(self.target)["dead_letters"]

    def duplicates(self) -> int:
        """Return how many messages the processor took and found stored, since its start."""
        processor = machines.find(self.target, Role.PROCESSOR)
        pattern = re.compile(r'^pipeline_messages_total{result="duplicate"} (\d+)', re.MULTILINE)

        def told() -> re.Match[str] | None:
            try:
                with urllib.request.urlopen(
                    f"http://{processor.address}:{ports.HTTP}/metrics"
                ) as it:
                    return pattern.search(it.read().decode())
            except OSError:  # it is on its way up
                return None

        return int(wait.until(told, what="the processor's count", timeout_s=120)[1])

    def cut(self, role: Role) -> None:
        """Take a machine's power; return when it runs again, as the lab starts it."""
        machine = machines.find(self.target, role)
        container = self.docker.containers.get(self.hypervisor.name(machine.id))
        if role in OWNERS:
            done = container.exec_run(["python3", "-c", CUT, str(paths.DATA)])
            assert done.exit_code == 0, done.output
        before = container.attrs["State"]["StartedAt"]
        container.kill("SIGKILL")

        def is_back() -> bool:
            container.reload()
            return container.status == "running" and container.attrs["State"]["StartedAt"] != before

        wait.until(is_back, what=f"{role} to be started again", timeout_s=120)
        ssh.wait_until_reachable(self.target, machine, timeout_s=120)

    def kill_docker(self) -> None:
        """Kill Docker on all machines at once; return when the stacks were started again.

        systemd starts Docker, and that ends what it finds running.
        """
        found = [machines.find(self.target, role).id for role in STACKS]
        guests = [self.docker.containers.get(self.hypervisor.name(name)) for name in found]
        ask = ["sh", "-c", "docker inspect --format '{{.State.StartedAt}}' $(docker ps --quiet)"]
        before = [guest.exec_run(ask) for guest in guests]
        for guest in guests:
            killed = guest.exec_run(["sh", "-c", "kill -KILL $(cat /run/docker.pid)"])
            assert killed.exit_code == 0, killed.output
        for guest, was in zip(guests, before, strict=True):
            wait.until(
                lambda guest=guest, was=was: (
                    (now := guest.exec_run(ask)).exit_code == 0 and now.output != was.output
                ),
                what=f"the stack of {guest.name} to be started again",
                timeout_s=120,
            )

    def count(self, prefix: str) -> int:
        """Return how many are stored, -1 where that can't be asked: something is not yet back."""
        try:
            return len(self.stored(prefix))
        except (CommandError, UsageError):
            return -1

    def flows(self, prefix: str, run: Future[Any]) -> None:
        """Return when more is stored than was at first; raise what the run of the senders did."""
        seen: list[int] = []

        def is_more() -> bool:
            if run.done():
                run.result()
            seen.extend(number for number in [self.count(prefix)] if number >= 0)
            return bool(seen) and seen[-1] > seen[0]

        wait.until(
            is_more,
            what="messages to be stored",
            timeout_s=FLOWS_AGAIN_S,
            every_s=2,
            last=lambda: str(seen[-3:]),
        )

    def arrive(self, prefix: str, count: int) -> list[str]:
        """Wait until so many are stored, and a bit longer; return what is then."""
        wait.until(
            lambda: self.count(prefix) >= count,
            what=f"{count} documents",
            timeout_s=FLOWS_AGAIN_S,
            every_s=2,
            last=lambda: str(self.count(prefix)),
        )
        wait.pause(workflow.SETTLE_S)
        return self.stored(prefix)


@pytest.mark.timeout(1200)
def test_a_loss_of_power_or_of_docker_under_load_loses_nothing_and_doubles_nothing(
    target: Target, lab_settings: Settings
) -> None:
    stack = Stack(target, lab_settings)
    letters, name = stack.dead_letters() + 1, f"power{uuid.uuid4().hex[:6]}"
    stack.load.send_raw("nonsense")
    ends = {role: partial(stack.cut, role) for role in STACKS} | {"Docker": stack.kill_docker}
    with again_and_again(lambda n: stack.load.send_named(f"{name}-{n}", RUN, *PACE)) as run:
        stack.flows(name, run)
        for what, end in ends.items():
            # A processor counts anew once it is started again.
            there, again = stack.count(name), stack.duplicates() if what in OWNERS else 0
            end()
            stack.flows(name, run)
            assert stack.duplicates() - again < there, f"{what}: what was committed came again"
    hosts = [host for hosts in run.result() for host in hosts]
    assert sorted(stack.arrive(name, len(hosts))) == sorted(hosts)
    assert stack.dead_letters() == letters


def test_a_run_of_the_producers_that_lost_its_power_is_made_good_by_running_it_again(
    target: Target, lab_settings: Settings
) -> None:
    """What it sent is stored, and what is sent again is a message of its own."""
    stack = Stack(target, lab_settings)
    name = f"again{uuid.uuid4().hex[:6]}"
    hosts = stack.load.offer(name, 2400)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(stack.load.send, *SLOW, name=name)
        stack.flows(name, run)
        stack.cut(Role.PRODUCERS)
        with pytest.raises(CommandError):
            run.result(timeout=120)
    wait.pause(workflow.SETTLE_S)
    first = Counter(stack.stored(name))
    sent = stack.load.send(name=name)
    stored = stack.arrive(name, len(hosts) + first.total())
    of_first = Counter(stored)
    of_first.subtract(hosts)
    assert 0 < first.total() <= of_first.total() < len(hosts)
    assert set(first.values()) == {1}
    assert set(of_first.values()) == {0, 1}  # all of the second run is there, and of the first once
    assert (sent.failed, max(sent.by_topic.values())) == (0, len(hosts))
