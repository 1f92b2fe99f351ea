"""What bake, Terraform and machines agree on: peers, parameters, manifest, status."""

from __future__ import annotations

import pytest

from runtime.contract import parameters
from runtime.contract.manifest import ImageRecord, Manifest
from runtime.contract.peers import parse_peers
from runtime.contract.roles import MACHINE_ROLES, Role, parse_role, role_of
from runtime.contract.status import BootStatus
from runtime.errors import BootError, BullionError, UsageError


def test_peers_are_exactly_what_the_role_needs() -> None:
    text = '{"kafka": "10.20.1.10", "mongo": "10.20.1.11"}'
    assert parse_peers(text, role=Role.PROCESSOR) == {"kafka": "10.20.1.10", "mongo": "10.20.1.11"}
    assert parse_peers("{}", role=Role.KAFKA) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[]", "holds list"),
        ("{}", "lacks 'kafka'"),
        ('{"kafka": "10.0.0.1", "mongo": "10.0.0.2"}', "names 'mongo', which producers has no use"),
        ('{"kafka": "10.0.0.256"}', "peer 'kafka' is '10.0.0.256'"),
        ('{"kafka": "kafka.internal"}', "not an IPv4 address"),
        ('{"kafka": null}', "not an IPv4 address"),
        ('{"kafka": ["10.0.0.1"]}', "not an IPv4 address"),
    ],
)
def test_bad_peers_are_refused_by_the_name_of_the_field(text: str, why: str) -> None:
    with pytest.raises(BootError, match=why):
        parse_peers(text, role=Role.PRODUCERS)


@pytest.mark.parametrize("parameter", parameters.CATALOG, ids=lambda p: p.name)
def test_every_default_keeps_its_own_rule(parameter: parameters.Parameter) -> None:
    assert parameter.parse(str(parameter.default)) == parameter.default


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("consume_batch", "0"),
        ("consume_batch", "100001"),
        ("consume_batch", "7.5"),
        ("consume_batch", "many"),
        ("consume_batch", ""),
        ("interval_s", "nan"),
        ("interval_s", "inf"),
        ("interval_s", "-1"),
        ("gpu_topic", ""),
        ("gpu_topic", "a b"),
        ("gpu_topic", "a\nBULLION_KAFKA=evil"),
        ("message_source", "../../etc/shadow"),
        ("message_source", "simulation\n"),
        ("message_source", "https://gpu-7:9400/metrics"),
        ("message_source", "http://"),
        ("message_source", "http://a:123456/"),
        ("message_source", "nvml --count 3"),
        ("message_source", "http://user@gpu-7/metrics"),
    ],
)
def test_a_value_that_breaks_the_rule_is_refused_with_the_rule(name: str, text: str) -> None:
    parameter = next(p for p in parameters.CATALOG if p.name == name)
    with pytest.raises(BootError, match=f"parameter {name} is .*; allowed: ") as refused:
        parameter.parse(text)
    assert parameter.rule() in str(refused.value)


def test_tags_override_defaults_and_other_tags_are_ignored() -> None:
    tags = {"Name": "x", "bullion:role": "processor", "bullion-param:consume_batch": "7"}
    values = parameters.resolve(Role.PROCESSOR, tags)
    assert values["consume_batch"] == 7
    assert values["database"] == "telemetry"


def test_a_tag_for_another_role_is_refused_with_those_there_are() -> None:
    with pytest.raises(BootError, match="names no parameter of mongo; it has: database, "):
        parameters.resolve(Role.MONGO, {"bullion-param:consume_batch": "7"})


@pytest.mark.parametrize("role", [Role.KAFKA, Role.PROCESSOR, Role.PRODUCERS])
@pytest.mark.parametrize(
    "tags",
    [
        {"bullion-param:gpu_topic": "all", "bullion-param:token_topic": "all"},
        {"bullion-param:gpu_topic": "token.usage.v1"},
    ],
    ids=["both given", "the other's default"],
)
def test_a_topic_for_both_kinds_of_message_is_refused(role: Role, tags: dict[str, str]) -> None:
    with pytest.raises(
        BootError, match=r"gpu_topic and token_topic are both '(all|token\.usage\.v1)'"
    ):
        parameters.resolve(role, tags)


def test_topics_may_change_names() -> None:
    tags = {"bullion-param:gpu_topic": "token.usage.v1", "bullion-param:token_topic": "b"}
    assert parameters.resolve(Role.KAFKA, tags)["gpu_topic"] == "token.usage.v1"


def test_a_manifest_is_read_as_it_was_written() -> None:
    image = ImageRecord(name="n", id="sha256:1", base="b", origin="packages", stand_in="s")
    manifest = Manifest(role=Role.MONGO, version="v", key="k", source_ami="a", images=(image,))
    assert Manifest.parse(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"role": "king", "images": []}', '{"images": [1]}']
)
def test_a_damaged_manifest_is_refused(text: str) -> None:
    with pytest.raises(BullionError, match="the manifest is damaged"):
        Manifest.parse(text)


@pytest.mark.parametrize("text", ["", "[]", "7", '{"ok": true}', '{"ok": 1, "role": "", "x": 2}'])
def test_a_damaged_boot_status_is_refused(text: str) -> None:
    with pytest.raises(BootError, match="the boot status is damaged"):
        BootStatus.parse(text)


def test_an_unknown_role_is_answered_with_those_there_are() -> None:
    assert parse_role("kafka") is Role.KAFKA
    for name in ("base", "Kafka", ""):
        with pytest.raises(UsageError, match=", ".join(MACHINE_ROLES)):
            parse_role(name)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("kafka", Role.KAFKA),
        ("processor", Role.PROCESSOR),
        ("processor-2", Role.PROCESSOR),
        ("processor-02", None),
        ("processor-", None),
        ("processors", None),
        ("base", None),
        ("", None),
    ],
)
def test_the_name_of_a_machine_says_its_role(name: str, role: Role | None) -> None:
    assert role_of(name) is role
