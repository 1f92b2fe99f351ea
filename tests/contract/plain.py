"""Plain moto: what the lab has without its translations."""

from __future__ import annotations

from runtime.lab.ec2 import Ec2, text


def launch(ec2: Ec2, **more: str) -> str:
    """Return the id of an instance in moto's records."""
    ami = text(ec2.ask("DescribeImages"), "imagesSet/item/imageId")
    asked = {"ImageId": ami, "MinCount": "1", "MaxCount": "1", **more}
    return text(ec2.ask("RunInstances", asked), "instancesSet/item/instanceId")


def any_ami(ec2: Ec2) -> str:
    return text(ec2.ask("DescribeImages"), "imagesSet/item/imageId")


def profile(name: str) -> None:
    """Make an instance profile."""
    import boto3

    iam = boto3.client("iam", region_name="us-east-1")
    iam.create_instance_profile(InstanceProfileName=name)
