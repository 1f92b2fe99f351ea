"""What moto does differently from EC2: each translation of the lab is needed as long as these hold.

A failure here means that moto was mended: take the translation out.
"""

from __future__ import annotations

import base64

import pytest

from runtime.lab import daemon, subnets, translations
from runtime.lab.actions import ids
from runtime.lab.actions.states import STOPPING
from runtime.lab.ec2 import Ec2, Refused, text
from tests.contract.plain import any_ami, launch


def test_moto_gives_a_launch_without_subnet_an_address_outside_the_subnet_it_reports(
    ec2: Ec2,
) -> None:
    machine = ec2.machine(launch(ec2))
    assert not text(machine, "privateIpAddress").startswith("172.31.")


def test_moto_ignores_a_client_token(ec2: Ec2) -> None:
    assert launch(ec2, ClientToken="same") != launch(ec2, ClientToken="same")


def test_moto_starts_a_terminated_instance(ec2: Ec2) -> None:
    machine_id = launch(ec2)
    ec2.ask("TerminateInstances", {"InstanceId.1": machine_id})
    ec2.ask("StartInstances", {"InstanceId.1": machine_id})
    assert text(ec2.machine(machine_id), "instanceState/name") in {"pending", "running"}


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


def test_moto_gives_a_profile_to_the_first_machine_of_a_launch_only(ec2: Ec2) -> None:
    _profile("one")
    asked = {"MinCount": "2", "MaxCount": "2", "IamInstanceProfile.Name": "one"}
    made = ec2.ask("RunInstances", {"ImageId": any_ami(ec2), **asked})
    second = made.findall("instancesSet/item")[1]
    assert not text(second, "iamInstanceProfile/arn")

    for change in translations.profiles_lost(asked, made):
        ec2.ask("AssociateIamInstanceProfile", change)
    translations.show_profiles(made, ec2.ask("DescribeIamInstanceProfileAssociations"))
    arns = [text(item, "iamInstanceProfile/arn") for item in made.findall("instancesSet/item")]
    assert [arn.rpartition("/")[2] for arn in arns] == ["one", "one"]


def test_moto_goes_on_showing_a_profile_that_was_replaced(ec2: Ec2) -> None:
    _profile("old")
    _profile("new")
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


def test_moto_takes_a_change_of_power_off_behaviour_for_one_of_groups(ec2: Ec2) -> None:
    group = text(ec2.ask("DescribeSecurityGroups"), "securityGroupInfo/item/groupId")
    machine_id = launch(ec2, **{"SecurityGroupId.1": group})
    assert text(ec2.machine(machine_id), "groupSet/item/groupId") == group
    change = {"InstanceInitiatedShutdownBehavior.Value": "terminate"}
    ec2.ask("ModifyInstanceAttribute", {"InstanceId": machine_id, **change})
    assert not text(ec2.machine(machine_id), "groupSet/item/groupId")


def test_motos_protection_refuses_even_what_has_happened(ec2: Ec2) -> None:
    machine_id = launch(ec2, DisableApiStop="true")
    with pytest.raises(Refused, match="OperationNotPermitted"):
        ec2.ask("StopInstances", {"InstanceId.1": machine_id})


def test_moto_changes_a_running_machines_type(ec2: Ec2) -> None:
    change = {"InstanceId": launch(ec2), "InstanceType.Value": "t3.small"}
    ec2.ask("ModifyInstanceAttribute", change)


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


def _profile(name: str) -> None:
    import boto3

    iam = boto3.client("iam", region_name="us-east-1")
    iam.create_instance_profile(InstanceProfileName=name)
