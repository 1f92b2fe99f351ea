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
