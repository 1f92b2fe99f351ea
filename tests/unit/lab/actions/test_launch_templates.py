"""A launch by template is the launch that the template describes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from runtime.lab.actions import launch_templates

DATA = ET.fromstring("""
<launchTemplateData><imageId>ami-1</imageId><keyName/>
<metadataOptions><httpTokens>required</httpTokens></metadataOptions>
<securityGroupIdSet><item>sg-1</item><item>sg-2</item></securityGroupIdSet>
<networkInterfaceSet><item><deviceIndex>0</deviceIndex><groupSet><groupId>sg-3</groupId></groupSet>
</item></networkInterfaceSet>
<tagSpecificationSet><item><resourceType>instance</resourceType>
<tagSet><item><key>a</key><value>b</value></item></tagSet></item></tagSpecificationSet>
</launchTemplateData>
""")  # noqa: S314  written here


def test_a_templates_data_becomes_the_parameters_of_a_request() -> None:
    assert dict(launch_templates.flatten(DATA)) == {
        "ImageId": "ami-1",
        "MetadataOptions.HttpTokens": "required",
        "SecurityGroupId.1": "sg-1",
        "SecurityGroupId.2": "sg-2",
        "NetworkInterface.1.DeviceIndex": "0",
        "NetworkInterface.1.SecurityGroupId.1": "sg-3",
        "TagSpecification.1.ResourceType": "instance",
        "TagSpecification.1.Tag.1.Key": "a",
        "TagSpecification.1.Tag.1.Value": "b",
    }


def test_what_the_request_says_itself_wins_and_a_list_goes_as_a_whole() -> None:
    template = {
        "ImageId": "ami-1",
        "KeyName": "k",
        "SecurityGroupId.1": "a",
        "SecurityGroupId.2": "b",
    }
    asked = {"ImageId": "ami-2", "SecurityGroupId.1": "c"}
    assert launch_templates.merge(template, asked) == {
        "ImageId": "ami-2",
        "KeyName": "k",
        "SecurityGroupId.1": "c",
    }
