"""What moto does differently from EC2 about AMIs; a failure means that it was mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.lab import daemon, translations
from runtime.lab.ec2 import Ec2, NotOffered, Refused, text
from runtime.lab.machines import sources
from tests.contract.plain import any_ami, launch


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
