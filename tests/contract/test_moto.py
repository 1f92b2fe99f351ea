"""What moto does differently from EC2: each translation of the lab is needed as long as these hold.

A failure here means that moto was mended: take the translation out.
"""

from __future__ import annotations

import base64

import pytest

from runtime.lab import daemon, subnets, translations
from runtime.lab.actions import ids, tag_keys
from runtime.lab.actions.states import STOPPING
from runtime.lab.ec2 import Ec2, Refused, text
from tests.contract.plain import launch, profile


@pytest.mark.parametrize("action", ["StartInstances", "StopInstances", "RebootInstances"])
def test_moto_starts_stops_and_reboots_a_terminated_instance(ec2: Ec2, action: str) -> None:
    machine_id = launch(ec2)
    ec2.ask("TerminateInstances", {"InstanceId.1": machine_id})
    ec2.ask(action, {"InstanceId.1": machine_id})
    assert text(ec2.machine(machine_id), "instanceState/name") != "terminated"


def test_moto_reboots_a_stopped_instance(ec2: Ec2) -> None:
    machine_id = launch(ec2)
    ec2.ask("StopInstances", {"InstanceId.1": machine_id})
    ec2.ask("RebootInstances", {"InstanceId.1": machine_id})
    assert text(ec2.machine(machine_id), "instanceState/name") != "stopped"


def test_moto_terminates_what_is_named_before_a_protected_instance(ec2: Ec2) -> None:
    first, protected = launch(ec2), launch(ec2)
    change = {"InstanceId": protected, "DisableApiTermination.Value": "true"}
    ec2.ask("ModifyInstanceAttribute", change)
    with pytest.raises(Refused, match="OperationNotPermitted"):
        ec2.ask("TerminateInstances", {"InstanceId.1": first, "InstanceId.2": protected})
    assert text(ec2.machine(first), "instanceState/name") == "terminated"


def test_moto_decodes_user_data_of_a_modification_once_too_often(ec2: Ec2) -> None:
    machine_id = launch(ec2)
    ec2.ask("StopInstances", {"InstanceId.1": machine_id})
    asked = {
        "InstanceId": machine_id,
        "UserData.Value": base64.b64encode(b"#cloud-config").decode(),
    }
    with pytest.raises(Refused):
        ec2.ask("ModifyInstanceAttribute", asked)
    ec2.ask("ModifyInstanceAttribute", translations.encode_user_data_once_more(asked))
    assert translations.decode_user_data(ec2.attribute(machine_id, "userData")) == b"#cloud-config"


def test_moto_takes_a_change_in_the_older_form_whatever_it_is_and_whenever(ec2: Ec2) -> None:
    asked = {"InstanceId": launch(ec2), "Attribute": "instanceType", "Value": "t3.small"}
    ec2.ask("ModifyInstanceAttribute", asked)  # of a running machine
    ec2.ask("ModifyInstanceAttribute", asked | {"Attribute": "enaSupport", "Value": "perhaps"})

    change = translations.spell_out_attribute(asked)

    assert change == {"InstanceId": asked["InstanceId"], "InstanceType.Value": "t3.small"}


def test_moto_shows_a_machine_as_running_and_as_stopped_at_once(ec2: Ec2) -> None:
    machine_id = launch(ec2)
    assert text(ec2.machine(machine_id), "instanceState/name") == "running"
    ec2.ask("StopInstances", {"InstanceId.1": machine_id})
    found = ec2.ask("DescribeInstances")
    path = "reservationSet/item/instancesSet/item/instanceState"
    assert text(found, f"{path}/name") == "stopped"

    translations.show_states(found, {machine_id: STOPPING})

    assert (int(text(found, f"{path}/code")), text(found, f"{path}/name")) == STOPPING


def test_moto_lacks_actions_that_it_answers_with_a_server_error(ec2: Ec2) -> None:
    with pytest.raises(Refused) as refused:
        ec2.ask("MonitorInstances", {"InstanceId.1": launch(ec2)})
    assert (refused.value.code, refused.value.status) == ("UnsupportedOperation", 400)


def test_motos_default_vpc_has_no_way_out_until_it_is_furnished(ec2: Ec2) -> None:
    subnet_id = subnets.default(ec2)
    assert subnets.read(ec2, subnet_id).exits == ()

    daemon.furnish(ec2)

    assert subnets.read(ec2, subnet_id).reach(has_public_address=True) == ["0.0.0.0/0"]


def test_motos_default_group_does_not_let_its_members_reach_each_other(ec2: Ec2) -> None:
    path = "securityGroupInfo/item/ipPermissions/item/groups/item/groupId"
    assert ec2.ask("DescribeSecurityGroups").find(path) is None

    daemon.furnish(ec2)

    found = ec2.ask("DescribeSecurityGroups")
    assert text(found, path) == text(found, "securityGroupInfo/item/groupId")


def groups(ec2: Ec2, count: int) -> list[str]:
    """Return the ids of new security groups in the default VPC."""
    made = ({"GroupName": f"g{n}", "GroupDescription": "one"} for n in range(count))
    return [text(ec2.ask("CreateSecurityGroup", asked), "groupId") for asked in made]


def shown(ec2: Ec2, machine_id: str) -> tuple[set[str | None], set[str | None]]:
    """Return an instance's groups as moto shows them: its own, and its interface's."""
    machine = ec2.machine(machine_id)
    own = machine.findall("groupSet/item/groupId")
    interface = machine.findall("networkInterfaceSet/item/groupSet/item/groupId")
    return {one.text for one in own}, {one.text for one in interface}


def test_moto_shows_an_instance_without_the_groups_of_its_interface(ec2: Ec2) -> None:
    (group,) = groups(ec2, 1)
    at = {"NetworkInterface.1.DeviceIndex": "0", "NetworkInterface.1.SecurityGroupId.1": group}
    machine_id = launch(ec2, **at)
    assert shown(ec2, machine_id) == (set(), {group})

    found = ec2.ask("DescribeInstances")
    translations.show_interface_groups(found)

    path = "reservationSet/item/instancesSet/item/groupSet/item/groupId"
    assert [element.text for element in found.findall(path)] == [group]


def test_moto_adds_an_instances_groups_to_its_interfaces_instead_of_replacing_them(
    ec2: Ec2,
) -> None:
    before, after = groups(ec2, 2)
    subnet = {"SubnetId": subnets.default(ec2)}
    machine_id = launch(ec2, **subnet, **{"SecurityGroupId.1": before})
    ec2.ask("ModifyInstanceAttribute", {"InstanceId": machine_id, "GroupId.1": after})
    assert shown(ec2, machine_id)[1] == {before, after}

    interface = text(ec2.machine(machine_id), "networkInterfaceSet/item/networkInterfaceId")
    which = {"NetworkInterfaceId": interface, "SecurityGroupId.1": after}
    ec2.ask("ModifyNetworkInterfaceAttribute", which)

    assert shown(ec2, machine_id)[1] == {after}


def test_moto_leaves_an_instance_its_groups_when_its_interface_gets_others(ec2: Ec2) -> None:
    before, after = groups(ec2, 2)
    subnet = {"SubnetId": subnets.default(ec2)}
    machine_id = launch(ec2, **subnet, **{"SecurityGroupId.1": before})
    interface = text(ec2.machine(machine_id), "networkInterfaceSet/item/networkInterfaceId")
    which = {"NetworkInterfaceId": interface, "SecurityGroupId.1": after}
    ec2.ask("ModifyNetworkInterfaceAttribute", which)
    assert shown(ec2, machine_id) == ({before}, {before, after})

    ec2.ask("ModifyInstanceAttribute", {"InstanceId": machine_id, "GroupId.1": after})

    assert shown(ec2, machine_id) == ({after}, {after})


def test_moto_forgets_the_metadata_options_that_a_change_leaves_alone(ec2: Ec2) -> None:
    asked = {"MetadataOptions.HttpTokens": "required", "MetadataOptions.HttpEndpoint": "disabled"}
    machine_id = launch(ec2, **asked)
    change = {"InstanceId": machine_id, "HttpPutResponseHopLimit": "2"}
    whole = translations.keep_metadata_options(change, ec2.machine(machine_id))

    ec2.ask("ModifyInstanceMetadataOptions", change)
    assert text(ec2.machine(machine_id), "metadataOptions/httpTokens") != "required"

    ec2.ask("ModifyInstanceMetadataOptions", whole)
    assert translations.metadata_options(ec2.machine(machine_id)) == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": "2",
        "HttpEndpoint": "disabled",
        "HttpProtocolIpv6": "disabled",
        "InstanceMetadataTags": "disabled",
    }


def test_moto_takes_metadata_options_that_are_none(ec2: Ec2) -> None:
    change = {"InstanceId": launch(ec2), "HttpPutResponseHopLimit": "65"}
    ec2.ask("ModifyInstanceMetadataOptions", change)
    with pytest.raises(Refused, match="InvalidParameterValue"):
        translations.refuse_bad_metadata_options(change)


def test_moto_calls_a_change_of_metadata_options_applied_when_it_answers(ec2: Ec2) -> None:
    change = {"InstanceId": launch(ec2), "HttpTokens": "required"}
    answer = ec2.ask("ModifyInstanceMetadataOptions", change)
    assert text(answer, "instanceMetadataOptions/state") == "applied"


def test_moto_takes_tags_that_metadata_can_not_tell(ec2: Ec2) -> None:
    tags = {"Tag.1.Key": "a/b", "Tag.1.Value": "x"}
    told = launch(ec2, **{"MetadataOptions.InstanceMetadataTags": "enabled"})
    ec2.ask("CreateTags", {"ResourceId.1": told, **tags})
    with pytest.raises(Refused, match="InvalidParameterValue"):
        tag_keys.refuse_on_telling(ec2, {"ResourceId.1": told, **tags})


def test_moto_lets_metadata_begin_to_tell_tags_that_it_can_not(ec2: Ec2) -> None:
    untold = launch(ec2)
    ec2.ask("CreateTags", {"ResourceId.1": untold, "Tag.1.Key": "a/b", "Tag.1.Value": "x"})
    change = {"InstanceId": untold, "InstanceMetadataTags": "enabled"}
    ec2.ask("ModifyInstanceMetadataOptions", change)
    with pytest.raises(Refused, match="InvalidParameterValue"):
        tag_keys.refuse_to_begin(ec2.machine(untold), change)


def test_moto_goes_on_showing_a_profile_that_was_replaced(ec2: Ec2) -> None:
    profile("old")
    profile("new")
    machine_id = launch(ec2, **{"IamInstanceProfile.Name": "old"})
    path = "iamInstanceProfileAssociationSet/item/associationId"
    association = text(ec2.ask("DescribeIamInstanceProfileAssociations"), path)
    change = {"AssociationId": association, "IamInstanceProfile.Name": "new"}
    ec2.ask("ReplaceIamInstanceProfileAssociation", change)
    found = ec2.ask("DescribeInstances", {"InstanceId.1": machine_id})
    arn = "reservationSet/item/instancesSet/item/iamInstanceProfile/arn"
    assert text(found, arn).endswith("/old")

    translations.show_profiles(found, ec2.ask("DescribeIamInstanceProfileAssociations"))
    assert text(found, arn).endswith("/new")


@pytest.mark.parametrize(
    "change",
    [
        {"InstanceInitiatedShutdownBehavior.Value": "terminate"},
        {"EnaSupport.Value": "true"},
        {"SriovNetSupport.Value": "simple"},
    ],
)
def test_moto_takes_a_change_that_it_has_no_place_for_for_one_of_groups(
    ec2: Ec2, change: dict[str, str]
) -> None:
    group = text(ec2.ask("DescribeSecurityGroups"), "securityGroupInfo/item/groupId")
    machine_id = launch(ec2, **{"SecurityGroupId.1": group})
    assert text(ec2.machine(machine_id), "groupSet/item/groupId") == group
    ec2.ask("ModifyInstanceAttribute", {"InstanceId": machine_id, **change})
    assert not text(ec2.machine(machine_id), "groupSet/item/groupId")


def test_motos_protection_refuses_even_what_has_happened(ec2: Ec2) -> None:
    machine_id = launch(ec2, DisableApiStop="true")
    with pytest.raises(Refused, match="OperationNotPermitted"):
        ec2.ask("StopInstances", {"InstanceId.1": machine_id})


def test_moto_says_nothing_of_enhanced_networking(ec2: Ec2) -> None:
    assert ec2.machine(launch(ec2)).find("enaSupport") is None


@pytest.mark.parametrize(
    "change",
    [
        {"InstanceType.Value": "t3.small"},
        {"EbsOptimized.Value": "true"},
        translations.encode_user_data_once_more({"UserData.Value": "eA=="}),
    ],
)
def test_moto_changes_of_a_running_machine_what_it_boots_with(
    ec2: Ec2, change: dict[str, str]
) -> None:
    ec2.ask("ModifyInstanceAttribute", {"InstanceId": launch(ec2), **change})


def test_moto_takes_an_id_that_is_none_for_one_that_is_not_there(ec2: Ec2) -> None:
    with pytest.raises(Refused, match="NotFound"):
        ec2.ask("DescribeInstances", {"InstanceId.1": "kafka"})
    with pytest.raises(Refused, match="Malformed"):
        ids.refuse_malformed({"InstanceId.1": "kafka"})


def test_moto_puts_a_launch_templates_own_tags_into_its_data(ec2: Ec2) -> None:
    asked = {
        "LaunchTemplateName": "one",
        "LaunchTemplateData.InstanceType": "t3.micro",
        "TagSpecification.1.ResourceType": "launch-template",
        "TagSpecification.1.Tag.1.Key": "a",
        "TagSpecification.1.Tag.1.Value": "b",
    }
    ec2.ask("CreateLaunchTemplate", asked)
    which = {"LaunchTemplateName": "one", "LaunchTemplateVersion.1": "$Default"}
    found = ec2.ask("DescribeLaunchTemplateVersions", which)
    path = "launchTemplateVersionSet/item/launchTemplateData/tagSpecificationSet/item"
    assert found.find(path) is not None

    translations.drop_tags_of_template(found)

    assert found.find(path) is None


def test_moto_calls_user_data_that_is_none_empty(ec2: Ec2) -> None:
    asked = {"InstanceId": launch(ec2, UserData=""), "Attribute": "userData"}
    found = ec2.ask("DescribeInstanceAttribute", asked)
    assert found.find("userData/value") is not None

    translations.drop_empty_user_data(found)

    assert found.find("userData/value") is None
