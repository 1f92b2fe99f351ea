"""What moto does differently from EC2 at a launch; a failure means that it was mended."""

from __future__ import annotations

import base64

import pytest

from runtime.lab import subnets, translations
from runtime.lab.actions import launch_templates, tag_keys
from runtime.lab.ec2 import Ec2, Refused, text
from tests.contract.plain import any_ami, launch, profile


def test_moto_gives_a_launch_without_subnet_an_address_outside_the_subnet_it_reports(
    ec2: Ec2,
) -> None:
    machine = ec2.machine(launch(ec2))
    assert not text(machine, "privateIpAddress").startswith("172.31.")


def test_moto_ignores_a_client_token(ec2: Ec2) -> None:
    assert launch(ec2, ClientToken="same") != launch(ec2, ClientToken="same")


def test_moto_gives_a_profile_to_the_first_machine_of_a_launch_only(ec2: Ec2) -> None:
    profile("one")
    asked = {"MinCount": "2", "MaxCount": "2", "IamInstanceProfile.Name": "one"}
    made = ec2.ask("RunInstances", {"ImageId": any_ami(ec2), **asked})
    second = made.findall("instancesSet/item")[1]
    assert not text(second, "iamInstanceProfile/arn")

    for change in translations.profiles_lost(asked, made):
        ec2.ask("AssociateIamInstanceProfile", change)
    translations.show_profiles(made, ec2.ask("DescribeIamInstanceProfileAssociations"))
    arns = [text(item, "iamInstanceProfile/arn") for item in made.findall("instancesSet/item")]
    assert [arn.rpartition("/")[2] for arn in arns] == ["one", "one"]


def test_moto_launches_with_a_key_pair_that_is_not_there(ec2: Ec2) -> None:
    launch(ec2, KeyName="nobodys")


def test_moto_takes_more_user_data_than_ec2(ec2: Ec2) -> None:
    launch(ec2, UserData=base64.b64encode(b"x" * 16_385).decode())


def test_moto_calls_a_profile_that_is_not_there_what_iam_calls_it(ec2: Ec2) -> None:
    with pytest.raises(Refused) as refused:
        launch(ec2, **{"IamInstanceProfile.Name": "nobodys"})
    assert refused.value.code == "NoSuchEntity"


@pytest.mark.parametrize(("least", "most", "made"), [("2", "1", 2), ("0", "0", 0)])
def test_moto_takes_counts_that_are_none(ec2: Ec2, least: str, most: str, made: int) -> None:
    asked = {"ImageId": any_ami(ec2), "MinCount": least, "MaxCount": most}
    machines = ec2.ask("RunInstances", asked).findall("instancesSet/item")
    assert len(machines) == made


def test_moto_fails_over_an_address_in_use_instead_of_naming_it(ec2: Ec2) -> None:
    subnet_id = subnets.default(ec2)
    where = {"SubnetId.1": subnet_id}
    first = text(ec2.ask("DescribeSubnets", where), "subnetSet/item/cidrBlock").partition("/")[0]
    address = first.rpartition(".")[0] + ".77"
    asked = {"SubnetId": subnet_id, "PrivateIpAddress": address}
    launch(ec2, **asked)
    with pytest.raises(Refused, match="UnsupportedOperation"):
        launch(ec2, **asked)


def test_moto_forgets_that_a_launch_is_to_be_protected(ec2: Ec2) -> None:
    machine_id = launch(ec2, DisableApiTermination="true")
    assert ec2.attribute(machine_id, "disableApiTermination") == "false"


def test_moto_launches_with_metadata_options_that_are_none(ec2: Ec2) -> None:
    prefix = "MetadataOptions."
    asked = {f"{prefix}HttpPutResponseHopLimit": "65"}
    launch(ec2, **asked)
    with pytest.raises(Refused, match="InvalidParameterValue"):
        translations.refuse_bad_metadata_options(asked, prefix)


def test_moto_launches_with_tags_that_metadata_can_not_tell(ec2: Ec2) -> None:
    asked = {
        "MetadataOptions.InstanceMetadataTags": "enabled",
        "TagSpecification.1.ResourceType": "instance",
        "TagSpecification.1.Tag.1.Key": "a/b",
        "TagSpecification.1.Tag.1.Value": "x",
    }
    launch(ec2, **asked)
    with pytest.raises(Refused, match="InvalidParameterValue"):
        tag_keys.refuse_in_launch(asked)


def test_moto_leaves_out_what_a_launch_template_says_of_metadata(ec2: Ec2) -> None:
    data = {"LaunchTemplateData.MetadataOptions.HttpTokens": "required"}
    ec2.ask("CreateLaunchTemplate", {"LaunchTemplateName": "one", **data})
    asked = {"LaunchTemplate.LaunchTemplateName": "one"}
    path = "metadataOptions/httpTokens"
    assert text(ec2.machine(launch(ec2, **asked)), path) == "optional"

    whole = launch_templates.resolve(ec2, asked)

    assert text(ec2.machine(launch(ec2, **whole)), path) == "required"
