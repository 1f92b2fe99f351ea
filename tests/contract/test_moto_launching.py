"""What moto does differently from EC2 at a launch; a failure means that it was mended."""

from __future__ import annotations

import base64

import pytest

from runtime.lab.ec2 import Ec2, Refused
from tests.contract.plain import launch


def test_moto_launches_with_a_key_pair_that_is_not_there(ec2: Ec2) -> None:
    launch(ec2, KeyName="nobodys")


def test_moto_takes_more_user_data_than_ec2(ec2: Ec2) -> None:
    launch(ec2, UserData=base64.b64encode(b"x" * 16_385).decode())


def test_moto_calls_a_profile_that_is_not_there_what_iam_calls_it(ec2: Ec2) -> None:
    with pytest.raises(Refused) as refused:
        launch(ec2, **{"IamInstanceProfile.Name": "nobodys"})
    assert refused.value.code == "NoSuchEntity"
