"""How much moto tells at once, where EC2 tells of a thousand; a failure means that it was mended."""

from __future__ import annotations

import pytest

from runtime.lab import views
from runtime.lab.ec2 import Ec2
from tests.contract.plain import launch, profile

MACHINES = "reservationSet/item"
ASSOCIATIONS = "iamInstanceProfileAssociationSet/item"


def test_moto_tells_of_a_hundred_machines_unless_it_is_asked_for_all(
    ec2: Ec2, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(101):
        launch(ec2)
    assert len(ec2.ask("DescribeInstances").findall(MACHINES)) == 101
    monkeypatch.setattr("runtime.lab.ec2._EVERYTHING", {})
    assert len(ec2.ask("DescribeInstances").findall(MACHINES)) == 100


def test_moto_tells_of_a_hundred_associations_of_profiles_whatever_it_is_asked_for(
    ec2: Ec2,
) -> None:
    profile("one")
    for _ in range(201):
        launch(ec2, **{"IamInstanceProfile.Name": "one"})
    for asked in ({}, {"MaxResults": "1000"}, {"MaxItems": "1000"}):
        found = ec2.ask("DescribeIamInstanceProfileAssociations", asked)
        assert len(found.findall(ASSOCIATIONS)) == 100
    assert len(views.associations(ec2).findall(ASSOCIATIONS)) == 201


def test_moto_tells_of_fifteen_launch_templates_and_versions_unless_it_is_asked_for_all(
    ec2: Ec2, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"LaunchTemplateData.InstanceType": "t3.micro"}
    for number in range(16):
        ec2.ask("CreateLaunchTemplate", {"LaunchTemplateName": f"t{number}", **data})
        ec2.ask("CreateLaunchTemplateVersion", {"LaunchTemplateName": "t0", **data})

    def counted() -> tuple[int, int]:
        templates = ec2.ask("DescribeLaunchTemplates")
        versions = ec2.ask("DescribeLaunchTemplateVersions", {"LaunchTemplateName": "t0"})
        return (
            len(templates.findall("launchTemplates/item")),
            len(versions.findall("launchTemplateVersionSet/item")),
        )

    assert counted() == (16, 17)
    monkeypatch.setattr("runtime.lab.ec2._EVERYTHING", {})
    assert counted() == (15, 15)
