"""What moto does differently from EC2 about AMIs; a failure means that it was mended."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from runtime.lab import daemon, translations
from runtime.lab.ec2 import Ec2, NotOffered, Refused, text
from runtime.lab.machines import sources
from tests.contract.plain import any_ami, launch


def make(ec2: Ec2, name: str = "one", **of: str) -> str:
    """Return the id of an AMI in moto's records."""
    asked = {"InstanceId": launch(ec2, **of), "Name": name}
    return text(ec2.ask("CreateImage", asked), "imageId")


def described(ec2: Ec2, ami_id: str) -> ET.Element:
    """Return the item that describes an AMI."""
    (item,) = ec2.ask("DescribeImages", {"ImageId.1": ami_id}).findall("imagesSet/item")
    return item


def test_moto_accepts_the_same_ami_name_twice(ec2: Ec2) -> None:
    machine_id = launch(ec2)
    for _ in range(2):
        ec2.ask("CreateImage", {"InstanceId": machine_id, "Name": "same"})


def test_moto_refuses_tags_for_snapshots_when_an_image_is_made(ec2: Ec2) -> None:
    asked = {
        "InstanceId": launch(ec2),
        "Name": "one",
        "TagSpecification.1.ResourceType": "snapshot",
        "TagSpecification.1.Tag.1.Key": "a",
        "TagSpecification.1.Tag.1.Value": "b",
    }
    with pytest.raises(Refused, match="UnsupportedOperation"):
        ec2.ask("CreateImage", asked)
    ec2.ask("CreateImage", translations.take_snapshot_tags(asked)[0])


def test_moto_describes_a_made_ami_with_a_root_that_is_not_ebs(ec2: Ec2) -> None:
    made = text(ec2.ask("CreateImage", {"InstanceId": launch(ec2), "Name": "one"}), "imageId")
    found = ec2.ask("DescribeImages", {"ImageId.1": made})
    assert text(found, "imagesSet/item/rootDeviceType") != "ebs"

    translations.describe_root_as_ebs(found, {made: 8})

    assert text(found, "imagesSet/item/rootDeviceType") == "ebs"
    assert text(found, "imagesSet/item/rootDeviceName") == "/dev/xvda"


def test_moto_keeps_snapshots_of_a_deregistered_ami_even_when_asked_not_to(ec2: Ec2) -> None:
    made = text(ec2.ask("CreateImage", {"InstanceId": launch(ec2), "Name": "one"}), "imageId")
    path = "imagesSet/item/blockDeviceMapping/item/ebs/snapshotId"
    snapshot = text(ec2.ask("DescribeImages", {"ImageId.1": made}), path)
    ec2.ask("DeregisterImage", {"ImageId": made, "DeleteAssociatedSnapshots": "true"})
    assert text(
        ec2.ask("DescribeSnapshots", {"SnapshotId.1": snapshot}), "snapshotSet/item/snapshotId"
    )


def test_moto_takes_a_name_that_no_ami_may_have(ec2: Ec2) -> None:
    ec2.ask("CreateImage", {"InstanceId": launch(ec2), "Name": "what?"})


def test_moto_makes_an_ami_of_a_terminated_machine(ec2: Ec2) -> None:
    machine_id = launch(ec2)
    ec2.ask("TerminateInstances", {"InstanceId.1": machine_id})
    ec2.ask("CreateImage", {"InstanceId": machine_id, "Name": "one"})


def test_moto_calls_an_ami_available_at_once(ec2: Ec2) -> None:
    assert text(described(ec2, make(ec2)), "imageState") == "available"


def test_moto_launches_an_ami_that_is_not_there(ec2: Ec2) -> None:
    launch(ec2, ImageId="ami-0123456789abcdef0")


@pytest.mark.parametrize("end", ["DeregisterImage", "DisableImage"])
def test_moto_launches_an_ami_that_is_deregistered_or_disabled(ec2: Ec2, end: str) -> None:
    made = make(ec2)
    ec2.ask(end, {"ImageId": made})
    launch(ec2, ImageId=made)


def test_moto_describes_disabled_amis_to_who_does_not_ask_for_them(ec2: Ec2) -> None:
    made = make(ec2)
    ec2.ask("DisableImage", {"ImageId": made})
    found = ec2.ask("DescribeImages", {"Owner.1": "self"})
    assert text(found, "imagesSet/item/imageId") == made


def test_moto_deregisters_somebody_elses_ami(ec2: Ec2) -> None:
    assert text(described(ec2, any_ami(ec2)), "imageOwnerId") == sources.SOURCE_OWNER
    ec2.ask("DeregisterImage", {"ImageId": any_ami(ec2)})


def test_moto_forgets_that_an_amis_machines_are_to_have_imdsv2(ec2: Ec2) -> None:
    made = make(ec2)
    ec2.ask("ModifyImageAttribute", {"ImageId": made, "ImdsSupport.Value": "v2.0"})
    assert described(ec2, made).find("imdsSupport") is None
    machine = ec2.machine(launch(ec2, ImageId=made))
    assert text(machine, "metadataOptions/httpTokens") == "optional"


def test_moto_says_nothing_of_an_amis_encryption_protection_and_last_launch(ec2: Ec2) -> None:
    root = "BlockDeviceMapping.1."
    disk = {f"{root}DeviceName": "/dev/xvda", f"{root}Ebs.VolumeSize": "8"}
    made = make(ec2, "one", **disk, **{f"{root}Ebs.Encrypted": "true"})
    launch(ec2, ImageId=made)
    known = {element.tag for element in described(ec2, made).iter()}
    assert known.isdisjoint({"encrypted", "deregistrationProtection", "lastLaunchedTime"})


def test_moto_lacks_what_is_kept_about_amis(ec2: Ec2) -> None:
    for action in ("EnableImageDeprecation", "EnableImageDeregistrationProtection"):
        with pytest.raises(NotOffered):
            ec2.ask(action, {"ImageId": any_ami(ec2)})


def test_old_sources_are_retired_though_one_is_gone_already(ec2: Ec2, tmp_path: Path) -> None:
    known = any_ami(ec2)
    rows = [sources.entry(name, name=name, description="") for name in ("ami-0", known, "ami-1")]
    sources.write(tmp_path / "amis.json", rows)
    daemon.retire_sources(ec2, tmp_path / "amis.json")
    found = ec2.ask("DescribeImages").findall("imagesSet/item/imageId")
    assert known not in {one.text for one in found}
