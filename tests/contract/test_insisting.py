"""Docker that does not do what it is asked, a full disk, calls that cross: no state stays untrue."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from docker.errors import APIError

from runtime import wait
from runtime.lab.actions import attachments, instances, launching
from runtime.lab.actions.states import STOPPING
from runtime.lab.ec2 import Refused
from runtime.lab.memory.records import INSTANCE, LAUNCHING, VOLUME, Records
from tests.contract.emulator import AMI
from tests.contract.scripted import Lab, refused


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "AGAIN_S", 0.02)


def failing(work: Callable[..., Any], refusals: Iterator[bool]) -> Callable[..., Any]:
    """Return the same, which Docker refuses to do as long as there are refusals."""

    def run(*given: Any, **more: Any) -> Any:
        if next(refusals, False):
            message = "device or resource busy"
            raise APIError(message)
        return work(*given, **more)

    return run


def recover(lab: Lab) -> list[str]:
    """Bring machines in line with their records, and return what was found."""
    lab.machines.machines = lambda _="machine": dict.fromkeys(lab.machines.running, "running")
    lab.machines.shares_namespace = lambda _: True
    lab.machines.keepers.has_rules = lambda *_: True
    lab.machines.held = set()
    return lab.emulator.api.recovery.report()


def heading(lab: Lab, machine_id: str) -> str:
    return str(lab.emulator.api.recovery.records.get(INSTANCE, machine_id).get("heading", ""))


def test_what_docker_would_not_do_is_done_a_bit_later(lab: Lab) -> None:
    (machine_id,) = lab.launch()
    lab.machines.stop = failing(lab.machines.stop, iter([True, True]))
    lab.ec2.stop_instances(InstanceIds=[machine_id])
    lab.becomes("stopped")
    lab.machines.remove = failing(lab.machines.remove, iter([True]))
    lab.ec2.terminate_instances(InstanceIds=[machine_id])
    lab.becomes("terminated")
    assert lab.machines.running == {}


def test_a_machine_that_could_not_be_taken_away_goes_when_all_is_well_again(lab: Lab) -> None:
    (machine_id,) = lab.launch()
    true = lab.machines.remove
    lab.machines.remove = failing(true, iter([True] * 3))
    lab.ec2.terminate_instances(InstanceIds=[machine_id])
    lab.becomes("running")
    assert recover(lab)[0].endswith("was being terminated, and is")
    assert lab.states() == ["terminated"]


def test_a_stop_that_failed_is_not_gone_on_with(lab: Lab) -> None:
    (machine_id,) = lab.launch()
    lab.machines.stop = failing(lab.machines.stop, iter([True] * 3))
    lab.ec2.stop_instances(InstanceIds=[machine_id])
    lab.becomes("running")
    assert heading(lab, machine_id) == ""
    assert recover(lab) == []


def test_a_machine_is_taken_away_though_the_disk_is_full(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = lab.launch(2)
    save, left = Records._save, iter([True, True])

    def full(records: Records) -> None:
        if next(left, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(records)

    monkeypatch.setattr(Records, "_save", full)
    lab.ec2.terminate_instances(InstanceIds=ids)
    lab.becomes("terminated", "terminated")
    assert lab.machines.running == {}


def test_what_a_failed_ami_left_on_a_full_disk_goes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine_id,), discarded = lab.launch(), []
    lab.machines.disks.discard = discarded.append

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def capture(*_: object) -> None:
        monkeypatch.setattr(Records, "_save", full)
        full(None)

    lab.machines.capture = capture
    with pytest.raises(lab.ec2.exceptions.ClientError):
        lab.ec2.create_image(InstanceId=machine_id, Name="one")
    assert len(discarded) == 1


def test_a_launch_that_nobody_was_told_of_is_taken_back(lab: Lab) -> None:
    with lab.held(lab.launch, until="pending"):
        records = lab.emulator.api.recovery.records
        (machine_id,) = records.of(INSTANCE)
        assert heading(lab, machine_id) == LAUNCHING
    lab.becomes("running")
    assert heading(lab, machine_id) == ""
    records.update(INSTANCE, machine_id, heading=LAUNCHING)  # as a lab that was killed leaves it
    assert recover(lab)[0].endswith("which nobody was told of: it is gone")
    assert lab.states() == ["terminated"]


def test_a_failed_launch_that_docker_does_not_let_go_of_goes_later(lab: Lab) -> None:
    (other,) = lab.launch()
    lab.machines.launch = failing(lab.machines.launch, iter([True]))
    lab.machines.remove = failing(lab.machines.remove, iter([True, True]))
    assert refused(lab.launch, count=2) == "LaunchFailedInLab"  # one of them runs
    assert lab.states() == ["running"] * 3
    assert len(recover(lab)) == 2
    assert sorted(lab.states()) == ["running", "terminated", "terminated"]
    assert list(lab.machines.running) == [other]


def test_an_interface_that_a_machine_has_is_not_given_to_another(lab: Lab) -> None:
    own = lab.ec2.create_network_interface(SubnetId=lab.subnet)["NetworkInterface"]
    with_it = [{"DeviceIndex": 0, "NetworkInterfaceId": own["NetworkInterfaceId"]}]
    asked = {"ImageId": AMI, "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": with_it}
    for _ in range(2):
        machine_id = lab.ec2.run_instances(**asked)["Instances"][0]["InstanceId"]
        assert refused(lab.ec2.run_instances, **asked) == "InvalidNetworkInterface.InUse"
        assert lab.states("running", "pending") == ["running"]
        lab.ec2.terminate_instances(InstanceIds=[machine_id])
        wait.until(lambda: not lab.states("running", "shutting-down"), what="it", timeout_s=20)


def test_a_reboot_whose_turn_comes_after_a_stop_starts_nothing(lab: Lab) -> None:
    (machine_id,) = lab.launch()
    with lab.emulator.api.instances.states.hand_on(machine_id):
        lab.ec2.reboot_instances(InstanceIds=[machine_id])
        lab.emulator.ec2.ask("StopInstances", {"InstanceId.1": machine_id})
        lab.machines.running[machine_id] = False
    wait.until(
        lambda: not any("_reboot" in one.name for one in threading.enumerate()),
        what="the reboot's turn",
        timeout_s=20,
    )
    assert lab.machines.running == {machine_id: False}


def test_nothing_turns_back_a_machine_that_is_going(lab: Lab) -> None:
    ids, work = lab.launch(), lab.machines.stop
    with lab.held(lambda: lab.ec2.terminate_instances(InstanceIds=ids), until="shutting-down"):
        with pytest.raises(Refused, match="not in a state"):  # as if both came at once
            lab.emulator.api.instances._in_background("StopInstances", ids, STOPPING, work, ())
        assert heading(lab, ids[0]) == "shutting-down"
    lab.becomes("terminated")


def test_a_keeper_that_goes_while_it_is_given_rules_is_nobody_elses_trouble(lab: Lab) -> None:
    going, other = lab.launch(2)
    lab.machines.keepers.lives = lambda name: name != going
    lab.machines.keepers.load_rules = failing(lambda *_: None, iter([True, True]))
    firewalls = lab.emulator.api.firewalls
    firewalls.loaded(going, "others than it must have")
    firewalls.refresh()
    lab.machines.keepers.lives = lambda _: True
    firewalls.loaded(other, "others than it must have")
    firewalls.refresh()
    assert firewalls._loaded[other] == firewalls.rules_for(other)


def test_nobody_ends_a_machine_whose_file_system_is_frozen(lab: Lab) -> None:
    (machine_id,) = lab.launch()
    api = lab.emulator.api
    api.attachments.records.update(attachments.KIND, "vol-1", machine=machine_id, number=1)
    hand = api.instances.states.hand_on(machine_id)

    def is_free() -> bool:
        if is_mine := hand.acquire(timeout=0.1):
            hand.release()
        return is_mine

    with ThreadPoolExecutor(1) as pool:
        with api.attachments.frozen("vol-1"):
            assert not pool.submit(is_free).result()
        assert pool.submit(is_free).result()


def test_a_volume_that_was_being_deleted_is_not_lost(lab: Lab) -> None:
    zone = lab.ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    lost = lab.ec2.create_volume(Size=1, AvailabilityZone=zone)["VolumeId"]
    recovery = lab.emulator.api.recovery
    recovery.records.update(
        VOLUME, "vol-0123456789abcdef0", size_gb=1
    )  # of which EC2 knows nothing
    recovery.attachments.blocks.delete(lost)
    lab.machines.machines = lambda _="machine": {}
    (line,) = recovery._check_blocks()
    assert lost in line
    assert recovery.records.of(VOLUME) == {}


def test_tokens_of_launches_long_ago_are_forgotten(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "KEPT", 2)
    first = lab.launch(ClientToken="first")
    assert lab.launch(ClientToken="first") == first
    for number in range(2):
        lab.launch(ClientToken=f"later-{number}")
    assert lab.launch(ClientToken="first") != first
