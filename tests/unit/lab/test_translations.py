"""The translations between EC2 and moto, each on its own."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET

from runtime.lab import translations
from runtime.lab.ec2 import plain


def test_an_instance_has_the_groups_of_its_first_interface() -> None:
    reply = ET.fromstring(  # noqa: S314  written here
        "<r><item><instanceId>i-1</instanceId><groupSet><item><groupId>sg-old</groupId></item>"
        "</groupSet><networkInterfaceSet><item><groupSet><item><groupId>sg-1</groupId></item>"
        "</groupSet></item></networkInterfaceSet></item></r>"
    )
    translations.show_interface_groups(reply)
    assert [one.text for one in reply.findall("item/groupSet/item/groupId")] == ["sg-1"]


def test_user_data_of_a_modification_survives_the_extra_decoding() -> None:
    wrapped = translations.encode_user_data_once_more({"UserData.Value": "aGVsbG8="})[
        "UserData.Value"
    ]
    assert base64.b64decode(wrapped) == b"aGVsbG8="


def test_snapshot_tags_are_split_off_and_image_tags_stay() -> None:
    asked = {
        "Name": "one",
        "TagSpecification.1.ResourceType": "image",
        "TagSpecification.1.Tag.1.Key": "a",
        "TagSpecification.1.Tag.1.Value": "b",
        "TagSpecification.2.ResourceType": "snapshot",
        "TagSpecification.2.Tag.1.Key": "c",
        "TagSpecification.2.Tag.1.Value": "d",
    }
    kept, tags = translations.take_snapshot_tags(asked)
    assert tags == {"c": "d"}
    assert "TagSpecification.1.Tag.1.Key" in kept
    assert not any(key.startswith("TagSpecification.2") for key in kept)


def test_an_association_without_address_is_dropped_and_one_with_stays() -> None:
    tree = ET.fromstring(  # noqa: S314
        "<r><a><association/></a><b><association><publicIp>1.2.3.4</publicIp></association></b></r>"
    )
    translations.drop_empty_associations(tree)
    assert tree.find("a/association") is None
    assert tree.find("b/association") is not None


def test_a_machine_in_transition_is_shown_in_it_and_others_as_they_are() -> None:
    one = "<item><instanceId>{}</instanceId><instanceState><code>16</code><name>running</name></instanceState></item>"
    tree = ET.fromstring(f"<r>{one.format('i-1')}{one.format('i-2')}</r>")  # noqa: S314
    translations.show_states(tree, {"i-1": (64, "stopping")})
    assert [e.text for e in tree.iter("name")] == ["stopping", "running"]
    assert [e.text for e in tree.iter("code")] == ["64", "16"]


def test_user_data_is_served_as_it_was_given_even_when_it_is_not_base64() -> None:
    assert translations.decode_user_data(base64.b64encode(b"x").decode()) == b"x"
    assert translations.decode_user_data("#cloud-config") == b"#cloud-config"
    assert translations.decode_user_data("") is None


MAPPED = {
    "ImageId": "ami-1",
    "BlockDeviceMapping.1.DeviceName": "/dev/sdf",
    "BlockDeviceMapping.1.Ebs.VolumeSize": "3",
    "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "false",
}


def test_a_launch_that_maps_only_data_disks_gets_its_root_too() -> None:
    filled = translations.complete_mapping(MAPPED, root_size_gb=9)
    assert filled == MAPPED | {
        "BlockDeviceMapping.2.DeviceName": "/dev/xvda",
        "BlockDeviceMapping.2.Ebs.VolumeSize": "9",
        "BlockDeviceMapping.2.Ebs.DeleteOnTermination": "true",
    }
    assert translations.complete_mapping(filled, root_size_gb=9) == filled


def test_a_launch_that_maps_nothing_has_its_amis_root() -> None:
    assert translations.complete_mapping({"ImageId": "a"}, root_size_gb=9) == {
        "ImageId": "a",
        "BlockDeviceMapping.1.DeviceName": "/dev/xvda",
        "BlockDeviceMapping.1.Ebs.VolumeSize": "9",
        "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
    }


def test_data_disks_are_what_is_mapped_beside_the_root() -> None:
    filled = translations.complete_mapping(MAPPED, root_size_gb=9)
    assert translations.data_disks(filled) == [{"VolumeSize": "3", "DeleteOnTermination": "false"}]
    without = MAPPED | {"BlockDeviceMapping.1.NoDevice": ""}
    assert translations.data_disks(without) == []


def test_volumes_on_their_way_are_shown_so() -> None:
    reply = plain(
        "<r><volumeSet>"
        "<item><volumeId>vol-1</volumeId><status>available</status></item>"
        "<item><volumeId>vol-2</volumeId><status>in-use</status>"
        "<attachmentSet><item><status>attached</status></item></attachmentSet></item>"
        "<item><volumeId>vol-3</volumeId><status>available</status></item>"
        "</volumeSet></r>"
    )
    translations.show_volume_states(reply, {"vol-1": "creating", "vol-2": "detaching"})
    assert [item.findtext("status") for item in reply.findall("volumeSet/item")] == [
        "creating",
        "in-use",
        "available",
    ]
    assert reply.findtext("volumeSet/item/attachmentSet/item/status") == "detaching"


def test_snapshots_are_shown_with_the_size_and_state_they_have() -> None:
    item = (
        "<snapshotId>snap-1</snapshotId><volumeSize>9</volumeSize>"
        "<status>completed</status><progress>100%</progress>"
    )
    for reply, path in (
        (plain(f"<r>{item}</r>"), "."),
        (plain(f"<r><snapshotSet><item>{item}</item></snapshotSet></r>"), "snapshotSet/item"),
    ):
        translations.show_snapshots(reply, {"snap-1": 2}, {"snap-1": "pending"})
        shown = reply.find(path)
        assert shown is not None
        assert [child.text for child in shown] == ["snap-1", "2", "pending", "0%"]
