"""A bill of materials is valid CycloneDX, the same bytes each time, and tells what differs."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from runtime.release import sbom

KAFKA = "bullion/kafka:0123456789ab"
INVENTORY: dict[str, Any] = {
    "os": {"id": "debian", "version": "13"},
    "packages": [
        {"name": "libstdc++6", "version": "14.2.0-19", "arch": "amd64"},
        {"name": "openssl", "version": "1:3.5.1-1+deb13u1", "arch": "amd64"},
    ],
    "python": [{"name": "Confluent_Kafka", "version": "2.8.0"}],
    "images": {
        KAFKA: {
            "os": {"id": "alpine", "version": "3.22"},
            "packages": [{"name": "musl", "version": "1.2.5-r10", "arch": "x86_64"}],
            "python": [],
            "jars": [
                {
                    "name": "kafka-clients",
                    "version": "4.3.1",
                    "group": "org.apache.kafka",
                    "sha256": "ab" * 32,
                },
                {"name": "ca-certificates-java", "version": "", "group": "", "sha256": "cd" * 32},
            ],
            "go": [
                {"name": "github.com/FerretDB/FerretDB", "version": "(devel)"},
                {"name": "golang.org/x/sys", "version": "v0.30.0"},
            ],
            "programs": [{"name": "/bin/busybox", "sha256": "ef" * 32}],
        }
    },
}


def bill(inventory: dict[str, Any] = INVENTORY, **more: str) -> dict[str, Any]:
    return sbom.to_cyclonedx(inventory, role="kafka", version="2026.11.25", **more)


def validate(document: dict[str, Any]) -> str:
    """Return what the CycloneDX project's own validator says against it, "" for nothing."""
    return str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) or "")


@pytest.mark.parametrize(
    "more", [{}, {"at": "2026-11-25T12:00:00+00:00", "ami_id": "ami-0123456789abcdef0"}]
)
def test_a_bill_is_valid_cyclonedx(more: dict[str, str]) -> None:
    assert validate(bill(**more)) == ""


def test_the_validator_refuses_what_is_not() -> None:
    wrong = bill()
    wrong["components"][0]["type"] = "no such type"
    assert "no such type" in validate(wrong)


def test_every_package_has_a_url_that_reads_back() -> None:
    urls = {one["purl"] for one in bill()["components"] if "purl" in one}
    read = {url: PackageURL.from_string(url) for url in urls}
    assert urls == {
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=debian-13",
        "pkg:deb/debian/openssl@1%3A3.5.1-1%2Bdeb13u1?arch=amd64&distro=debian-13",
        "pkg:pypi/confluent-kafka@2.8.0",
        "pkg:apk/alpine/musl@1.2.5-r10?arch=x86_64&distro=alpine-3.22",
        "pkg:maven/org.apache.kafka/kafka-clients@4.3.1",
        "pkg:generic/ca-certificates-java",
        "pkg:golang/github.com/FerretDB/FerretDB",
        "pkg:golang/golang.org/x/sys@v0.30.0",
    }
    assert {(p.type, p.name, p.version) for p in read.values()} >= {
        ("deb", "libstdc++6", "14.2.0-19"),
        ("deb", "openssl", "1:3.5.1-1+deb13u1"),
    }


def test_a_bill_is_the_same_bytes_whatever_the_order_and_has_no_clock() -> None:
    shuffled = copy.deepcopy(INVENTORY)
    shuffled["packages"].reverse()
    shuffled["images"][KAFKA]["jars"].reverse()
    assert sbom.to_json(bill(shuffled)) == sbom.to_json(bill())
    assert "timestamp" not in bill()["metadata"]


def test_every_component_hangs_on_the_machine_or_on_its_image() -> None:
    document = bill()
    held = {row["ref"]: row["dependsOn"] for row in document["dependencies"]}
    refs = {one["bom-ref"] for one in document["components"]}
    assert refs == {ref for refs in held.values() for ref in refs}
    assert KAFKA in held["ami"]
    assert [
        ref for ref in held[KAFKA] if ref.endswith("musl@1.2.5-r10?arch=x86_64&distro=alpine-3.22")
    ]


def test_nothing_differs_between_two_bakes_of_the_same() -> None:
    again = copy.deepcopy(INVENTORY)
    again["images"] = {"bullion/kafka:ffffffffffff": again["images"][KAFKA]}
    difference = sbom.compare(bill(), bill(again))
    assert not difference
    assert difference == sbom.Difference(added=(), removed=(), changed=())


def test_what_came_went_and_changed_is_told_with_its_place() -> None:
    after = copy.deepcopy(INVENTORY)
    after["packages"][1]["version"] = "1:3.5.2-1"
    after["packages"].append({"name": "jq", "version": "1.7", "arch": "amd64"})
    after["images"][KAFKA]["packages"] = []
    after["images"][KAFKA]["programs"][0]["sha256"] = "00" * 32
    found = sbom.compare(bill(), bill(after))

    def tell(changes: tuple[sbom.Change, ...]) -> list[tuple[str, str, str, str]]:
        return [(one.where, one.name, one.before, one.after) for one in changes]

    assert tell(found.added) == [("machine", "deb jq", "", "1.7")]
    assert tell(found.removed) == [("bullion/kafka", "apk musl", "1.2.5-r10", "")]
    assert tell(found.changed) == [
        ("bullion/kafka", "file /bin/busybox", "sha256:efefefefefef", "sha256:000000000000"),
        ("machine", "deb openssl", "1:3.5.1-1+deb13u1", "1:3.5.2-1"),
    ]
