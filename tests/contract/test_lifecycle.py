"""A machine's state is shown when it is true, and attributes change when EC2 lets them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.emulator import AMI
from tests.contract.scripted import Lab, refused


def test_stopping_is_held_until_the_machine_has_stopped(lab: Lab) -> None:
    ids = lab.launch()
    with lab.held(lambda: lab.ec2.stop_instances(InstanceIds=ids), until="stopping"):
        assert lab.states("running", "stopped") == []
        assert lab.ec2.describe_instance_status()["InstanceStatuses"] == []
        assert refused(lab.ec2.start_instances, InstanceIds=ids) == "IncorrectInstanceState"
    lab.becomes("stopped")


def test_shutting_down_is_held_until_the_machine_is_gone(lab: Lab) -> None:
    ids = lab.launch()
    with lab.held(lambda: lab.ec2.terminate_instances(InstanceIds=ids), until="shutting-down"):
        assert lab.states("terminated", "running") == []
    lab.becomes("terminated")
    assert lab.machines.running == {}


def test_an_interface_made_at_launch_goes_with_its_machine_and_one_made_before_stays(
    lab: Lab,
) -> None:
    own = lab.ec2.create_network_interface(SubnetId=lab.subnet)["NetworkInterface"]
    name = own["NetworkInterfaceId"]
    lab.launch()
    lab.ec2.run_instances(
        ImageId=AMI,
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": name}],
    )
    lab.becomes("running", "running")
    assert len(lab.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 2
    machines = lab.ec2.describe_instances()["Reservations"]
    ids = [item["InstanceId"] for group in machines for item in group["Instances"]]
    lab.ec2.terminate_instances(InstanceIds=ids)
    lab.becomes("terminated", "terminated")
    left = lab.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert [one["NetworkInterfaceId"] for one in left] == [name]


def test_an_interface_that_is_to_outlive_its_machine_does(lab: Lab) -> None:
    stays = {"DeviceIndex": 0, "SubnetId": lab.subnet, "DeleteOnTermination": False}
    asked = {"ImageId": AMI, "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": [stays]}
    machine_id = lab.ec2.run_instances(**asked)["Instances"][0]["InstanceId"]
    lab.ec2.terminate_instances(InstanceIds=[machine_id])
    lab.becomes("terminated")
    (left,) = lab.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert left["Status"] == "available"


def test_a_start_is_pending_until_the_machine_runs(lab: Lab) -> None:
    ids = lab.launch()
    lab.ec2.stop_instances(InstanceIds=ids)
    lab.becomes("stopped")
    with lab.held(lambda: lab.ec2.start_instances(InstanceIds=ids), until="pending"):
        assert lab.states("running", "stopped") == []
    lab.becomes("running")


def test_what_is_asked_last_shows_while_both_are_being_done(lab: Lab) -> None:
    ids = lab.launch()
    with lab.held(lambda: lab.ec2.stop_instances(InstanceIds=ids), until="stopping"):
        lab.ec2.terminate_instances(InstanceIds=ids)
        assert lab.states() == ["shutting-down"]
    lab.becomes("terminated")


@pytest.mark.parametrize("action", ["start", "stop", "reboot"])
def test_nothing_can_be_done_with_a_terminated_machine(lab: Lab, action: str) -> None:
    ids = lab.launch()
    lab.ec2.terminate_instances(InstanceIds=ids)
    lab.becomes("terminated")
    call = getattr(lab.ec2, f"{action}_instances")
    assert refused(call, InstanceIds=ids) == "IncorrectInstanceState"
    again = lab.ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"][0]
    assert again["CurrentState"] == again["PreviousState"] == {"Code": 48, "Name": "terminated"}


def test_a_stopped_machine_can_be_stopped_again_and_a_running_one_started(lab: Lab) -> None:
    ids = lab.launch()
    started = lab.ec2.start_instances(InstanceIds=ids)["StartingInstances"][0]
    assert started["CurrentState"]["Name"] == "running"
    lab.ec2.stop_instances(InstanceIds=ids)
    lab.becomes("stopped")
    stopped = lab.ec2.stop_instances(InstanceIds=ids)["StoppingInstances"][0]
    assert stopped["CurrentState"]["Name"] == stopped["PreviousState"]["Name"] == "stopped"
    assert refused(lab.ec2.reboot_instances, InstanceIds=ids) == "IncorrectInstanceState"


def test_a_reboot_stays_running_and_answers_at_once(lab: Lab) -> None:
    ids = lab.launch()
    lab.machines.go.clear()
    lab.ec2.reboot_instances(InstanceIds=ids)
    assert lab.states() == ["running"]
    lab.machines.go.set()


@pytest.mark.parametrize(
    ("attribute", "action"), [("DisableApiTermination", "terminate"), ("DisableApiStop", "stop")]
)
def test_protection_refuses_until_it_is_lifted(lab: Lab, attribute: str, action: str) -> None:
    ids = lab.launch(**{attribute: True})
    call = getattr(lab.ec2, f"{action}_instances")
    assert refused(call, InstanceIds=ids) == "OperationNotPermitted"
    assert lab.states() == ["running"]
    lab.ec2.modify_instance_attribute(InstanceId=ids[0], **{attribute: {"Value": False}})
    call(InstanceIds=ids)


def test_if_one_of_several_is_protected_none_is_terminated(lab: Lab) -> None:
    ids = [*lab.launch(), *lab.launch(DisableApiTermination=True)]
    assert refused(lab.ec2.terminate_instances, InstanceIds=ids) == "OperationNotPermitted"
    assert lab.states() == ["running"] * 2


def test_a_machine_that_powers_off_is_stopped_or_terminated_as_it_was_launched(lab: Lab) -> None:
    stops = lab.launch()
    ends = lab.launch(InstanceInitiatedShutdownBehavior="terminate")
    for machine_id in (*stops, *ends):
        lab.machines.running[machine_id] = False
        lab.emulator.api.instances.ended_by_itself(machine_id, 0)
    lab.becomes("stopped", "terminated")


def test_protection_does_not_deny_an_end_that_came_from_inside(lab: Lab) -> None:
    stops = lab.launch(DisableApiStop=True)
    ends = lab.launch(InstanceInitiatedShutdownBehavior="terminate", DisableApiTermination=True)
    for machine_id in (*stops, *ends):
        lab.machines.running[machine_id] = False
        lab.emulator.api.instances.ended_by_itself(machine_id, 0)
    lab.becomes("stopped", "terminated")
    lab.ec2.start_instances(InstanceIds=stops)
    lab.becomes("running", "terminated")
    assert refused(lab.ec2.stop_instances, InstanceIds=stops) == "OperationNotPermitted"


def test_every_machine_of_a_launch_has_its_profile_and_shows_it(lab: Lab) -> None:
    iam = lab.emulator.client("iam")
    iam.create_instance_profile(InstanceProfileName="one")
    ids = lab.launch(2, IamInstanceProfile={"Name": "one"})
    found = lab.ec2.describe_instances(InstanceIds=ids)["Reservations"]
    shown = [item["IamInstanceProfile"] for group in found for item in group["Instances"]]
    profile = iam.get_instance_profile(InstanceProfileName="one")["InstanceProfile"]
    assert shown == [{"Arn": profile["Arn"], "Id": profile["InstanceProfileId"]}] * 2


def test_an_end_that_we_brought_about_is_not_followed(lab: Lab) -> None:
    ids = lab.launch()
    lab.emulator.api.instances.ended_by_itself(ids[0], 0)  # its container runs again by now
    assert lab.states() == ["running"]


# -- attributes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"InstanceType": {"Value": "t3.small"}},
        {"UserData": {"Value": b"x"}},
        {"Attribute": "instanceType", "Value": "t3.small"},
        {"EnaSupport": {"Value": True}},
    ],
)
def test_what_a_machine_boots_with_changes_only_while_it_is_stopped(
    lab: Lab, change: dict[str, Any]
) -> None:
    ids = lab.launch()
    call = lab.ec2.modify_instance_attribute
    assert refused(call, InstanceId=ids[0], **change) == "IncorrectInstanceState"
    lab.ec2.stop_instances(InstanceIds=ids)
    lab.becomes("stopped")
    call(InstanceId=ids[0], **change)


def test_power_off_behaviour_can_be_changed_and_leaves_the_groups(lab: Lab) -> None:
    machine_id = lab.launch()[0]
    before = _groups(lab, machine_id)
    assert before
    change = {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}}
    lab.ec2.modify_instance_attribute(InstanceId=machine_id, **change)
    assert _groups(lab, machine_id) == before
    shown = lab.ec2.describe_instance_attribute(
        InstanceId=machine_id, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert shown["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    lab.machines.running[machine_id] = False
    lab.emulator.api.instances.ended_by_itself(machine_id, 0)
    lab.becomes("terminated")


def test_network_attributes_of_a_stopped_machine_leave_its_groups(lab: Lab) -> None:
    machine_id = lab.launch()[0]
    before = _groups(lab, machine_id)
    lab.ec2.stop_instances(InstanceIds=[machine_id])
    lab.becomes("stopped")
    lab.ec2.modify_instance_attribute(InstanceId=machine_id, EnaSupport={"Value": True})
    lab.ec2.modify_instance_attribute(InstanceId=machine_id, SriovNetSupport={"Value": "simple"})
    assert _groups(lab, machine_id) == before


def _groups(lab: Lab, machine_id: str) -> list[dict[str, str]]:
    found = lab.ec2.describe_instances(InstanceIds=[machine_id])["Reservations"][0]["Instances"][0]
    return list(found["NetworkInterfaces"][0]["Groups"]) + list(found["SecurityGroups"])


def test_a_change_of_an_attribute_that_no_instance_has_is_refused(lab: Lab) -> None:
    (machine_id,) = lab.launch()
    groups = _groups(lab, machine_id)
    change = {"InstanceId": machine_id, "Attribute": "nonsense", "Value": "x"}
    answer = lab.emulator.call("ModifyInstanceAttribute", **change)
    assert (answer.status_code, "Unknown attribute" in answer.text) == (400, True)
    assert _groups(lab, machine_id) == groups


def test_monitoring_is_remembered(lab: Lab) -> None:
    ids = lab.launch()

    def monitored() -> str:
        found = lab.ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
        return str(found["Monitoring"]["State"])

    assert monitored() == "disabled"
    reply = lab.ec2.monitor_instances(InstanceIds=ids)["InstanceMonitorings"][0]
    assert (reply["InstanceId"], reply["Monitoring"]["State"]) == (ids[0], "pending")
    assert monitored() == "enabled"
    lab.ec2.unmonitor_instances(InstanceIds=ids)
    assert monitored() == "disabled"
