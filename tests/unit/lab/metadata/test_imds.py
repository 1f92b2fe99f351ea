"""The metadata service's documents and tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from runtime.lab.metadata.documents import Guest, answer, documents
from runtime.lab.metadata.imds import Tokens
from runtime.lab.metadata.roles import LIFE, Credentials, Role

GUEST = Guest(
    id="i-0123456789abcdef0",
    address="10.20.1.10",
    mac="02:00:00:00:00:01",
    interface_id="eni-1",
    ami_id="ami-0123456789abcdef0",
    machine_type="t3.small",
    zone="us-east-1a",
    zone_id="use1-az4",
    subnet_id="subnet-1",
    subnet_cidr="10.20.1.0/24",
    vpc_id="vpc-1",
    vpc_cidrs=("10.20.0.0/16", "10.21.0.0/16"),
    account="123456789012",
    reservation_id="r-1",
    launched_at="2026-01-01T00:00:00.000Z",
    key_name="operator",
    public_key="ssh-ed25519 AAAA operator",
    devices=("/dev/xvda", "/dev/sdf"),
    user_data=b"#cloud-config\n",
    tags={"bullion:role": "kafka", "bullion-param:batch_size": "7"},
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("latest/meta-data/instance-id", b"i-0123456789abcdef0"),
        ("2021-03-23/meta-data/local-ipv4", b"10.20.1.10"),
        ("latest/user-data", b"#cloud-config\n"),
        ("latest/meta-data/tags/instance", b"bullion-param:batch_size\nbullion:role"),
        ("latest/meta-data/tags/instance/bullion:role", b"kafka"),
        ("latest/meta-data/public-keys/", b"0=operator"),
        ("latest/meta-data/public-keys/0/openssh-key", b"ssh-ed25519 AAAA operator"),
        ("latest/meta-data/network/interfaces/macs/", b"02:00:00:00:00:01/"),
        ("1999-01-01/meta-data/mac", b"02:00:00:00:00:01"),
        ("latest/meta-data/placement/", b"availability-zone\navailability-zone-id\nregion"),
        ("latest/meta-data/public-keys/0", b"openssh-key"),
        ("latest/dynamic/instance-identity/", b"document"),
        ("latest/meta-data/block-device-mapping/ebs1", b"sdf"),
        (
            "latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/",
            (
                b"device-number\ninterface-id\nlocal-hostname\nlocal-ipv4s\nmac\nowner-id\n"
                b"security-group-ids\nsecurity-groups\nsubnet-id\nsubnet-ipv4-cidr-block\nvpc-id\n"
                b"vpc-ipv4-cidr-block\nvpc-ipv4-cidr-blocks"
            ),
        ),
        (
            "latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-ipv4-cidr-blocks",
            b"10.20.0.0/16\n10.21.0.0/16",
        ),
        ("latest/", b"dynamic\nmeta-data\nuser-data"),
    ],
)
def test_a_path_is_answered_with_the_machines_own_content(path: str, expected: bytes) -> None:
    assert answer(GUEST, path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "latest/meta-data/instance-id/",
        "newest/meta-data",
        "latest/meta-data/nothing",
        "latest/etc/passwd",
    ],
)
def test_an_unknown_path_is_not_found(path: str) -> None:
    assert answer(GUEST, path) is None


def test_tags_are_absent_unless_the_launch_offers_them() -> None:
    assert answer(replace(GUEST, tags=None), "latest/meta-data/tags/instance") is None


def test_a_machine_without_user_data_has_none() -> None:
    assert answer(replace(GUEST, user_data=None), "latest/user-data") is None


def test_the_top_lists_versions_and_ends_with_the_latest() -> None:
    versions = (answer(GUEST, "") or b"").decode().splitlines()
    assert (versions[0], versions[-1]) == ("1.0", "latest")
    assert all(answer(GUEST, f"{version}/meta-data/mac") for version in versions)


def test_what_lies_below_a_name_is_told_by_a_slash_and_can_be_followed_to_its_end() -> None:
    """Walk as cloud-init does: every listing leads to content, and all content is found."""

    def walk(place: str) -> set[str]:
        names = (answer(GUEST, place) or b"").decode().splitlines()
        if place.endswith("public-keys/"):
            names = [name.partition("=")[0] + "/" for name in names]
        found = set()
        for name in names:
            found |= walk(place + name) if name.endswith("/") else {place + name}
        return found

    seen = walk("latest/meta-data/") | walk("latest/dynamic/") | {"latest/user-data"}
    assert seen == {f"latest/{path}" for path in documents(GUEST)}
    assert all(answer(GUEST, path) is not None for path in seen)


def test_the_identity_document_has_all_of_ec2s_fields() -> None:
    body = answer(GUEST, "latest/dynamic/instance-identity/document")
    assert json.loads(body or b"{}") == {
        "accountId": "123456789012",
        "architecture": "x86_64",
        "availabilityZone": "us-east-1a",
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": GUEST.ami_id,
        "instanceId": GUEST.id,
        "instanceType": "t3.small",
        "kernelId": None,
        "pendingTime": "2026-01-01T00:00:00Z",
        "privateIp": "10.20.1.10",
        "ramdiskId": None,
        "region": "us-east-1",
        "version": "2017-09-30",
    }


def test_a_public_address_shows_with_its_names() -> None:
    public = replace(GUEST, public_address="54.1.2.3", zone="eu-west-1a")
    place = f"latest/meta-data/network/interfaces/macs/{GUEST.mac}"
    assert answer(public, f"{place}/ipv4-associations/54.1.2.3") == b"10.20.1.10"
    assert answer(public, "latest/meta-data/public-hostname") == (
        b"ec2-54-1-2-3.eu-west-1.compute.amazonaws.com"
    )
    assert answer(public, "latest/meta-data/local-hostname") == (
        b"ip-10-20-1-10.eu-west-1.compute.internal"
    )
    assert answer(GUEST, "latest/meta-data/public-ipv4") is None


def test_a_machine_without_a_profile_has_no_iam_at_all() -> None:
    assert answer(GUEST, "latest/meta-data/iam/info") is None
    assert b"iam/" not in (answer(GUEST, "latest/meta-data/") or b"")


def test_a_machine_with_a_profile_is_given_its_roles_credentials() -> None:
    made_at = datetime(2026, 1, 1, tzinfo=UTC)
    credentials = Credentials(
        key_id="ASIA", secret="s", token="t", made_at=made_at, expires_at=made_at + LIFE
    )
    role = Role(
        name="kafka", arn="arn:r", profile_arn="arn:p", profile_id="AIPA", credentials=credentials
    )
    place = "latest/meta-data/iam"
    assert answer(replace(GUEST, role=role), f"{place}/security-credentials/") == b"kafka"
    body = answer(replace(GUEST, role=role), f"{place}/security-credentials/kafka")
    assert json.loads(body or b"{}") == {
        "Code": "Success",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIA",
        "SecretAccessKey": "s",
        "Token": "t",
        "Expiration": "2026-01-01T06:00:00Z",
    }


def test_a_token_is_valid_for_its_machine_alone_and_for_its_time() -> None:
    clock = [0.0]
    tokens = Tokens(now=lambda: clock[0])
    token = tokens.issue("i-1", ttl_s=10)

    assert tokens.is_valid(token, "i-1")
    assert not tokens.is_valid(token, "i-2")
    clock[0] = 10.0
    assert not tokens.is_valid(token, "i-1")


def test_a_token_nobody_issued_is_not_valid() -> None:
    assert not Tokens().is_valid("made up", "")
