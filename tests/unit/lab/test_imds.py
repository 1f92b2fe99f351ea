"""The metadata service's documents and tokens."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from runtime.lab.imds import Guest, Tokens, answer

GUEST = Guest(
    id="i-0123456789abcdef0",
    address="10.20.1.10",
    mac="02:00:00:00:00:01",
    ami_id="ami-0123456789abcdef0",
    machine_type="t3.small",
    zone="us-east-1a",
    subnet_id="subnet-1",
    subnet_cidr="10.20.1.0/24",
    vpc_id="vpc-1",
    vpc_cidr="10.20.0.0/16",
    account="123456789012",
    reservation_id="r-1",
    launched_at="2026-01-01T00:00:00Z",
    key_name="operator",
    public_key="ssh-ed25519 AAAA operator",
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
        ("latest/", b"dynamic/\nmeta-data/\nuser-data"),
    ],
)
def test_a_path_is_answered_with_the_machines_own_content(path: str, expected: bytes) -> None:
    assert answer(GUEST, path) == expected


@pytest.mark.parametrize(
    "path", ["", "newest/meta-data", "latest/meta-data/nothing", "latest/etc/passwd"]
)
def test_an_unknown_path_is_not_found(path: str) -> None:
    assert answer(GUEST, path) is None


def test_tags_are_absent_unless_the_launch_offers_them() -> None:
    assert answer(replace(GUEST, tags=None), "latest/meta-data/tags/instance") is None


def test_a_machine_without_user_data_has_none() -> None:
    assert answer(replace(GUEST, user_data=None), "latest/user-data") is None


def test_the_identity_document_names_machine_region_and_ami() -> None:
    body = answer(GUEST, "latest/dynamic/instance-identity/document")
    document = json.loads(body or b"{}")
    assert (document["instanceId"], document["region"], document["imageId"]) == (
        GUEST.id,
        "us-east-1",
        GUEST.ami_id,
    )


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
