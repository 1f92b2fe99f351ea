"""Releases as a person looks at them: the list, and what differs between two."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runtime.contract.data import DataFormat
from runtime.contract.manifest import ImageRecord
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.release import look
from runtime.release.record import Part, Release
from tests.unit.release.kit import NOW, release
from tests.unit.release.records import KAFKA

A, B = release("2026.01.01", days=20), release("2026.02.01", days=1)
NOTHING: dict[Role, dict[str, Any]] = {role: {} for role in MACHINE_ROLES}


def test_the_list_says_where_each_release_is_and_since_when() -> None:
    old, new = look.rows(
        [A, B],
        pruned=[A.version],
        channels={"stable": B.version, "next": B.version},
        running={Role.KAFKA: B.version, Role.MONGO: "2026.03.01"},
        now=NOW,
    )
    assert (old.is_pruned, old.channels, old.runs, old.age) == (True, (), (), "20 d")
    assert (new.is_pruned, new.channels, new.runs) == (False, ("stable", "next"), ("kafka",))
    assert not new.is_everywhere
    assert (new.age, new.size_gb, new.stand_ins) == ("24 h", 32, ("not MongoDB",))
    assert new.verified == "27 checks, gpu_metrics +100 on lab"


def test_a_release_is_everywhere_when_every_machine_runs_it_however_many_there_are() -> None:
    def everywhere(**running: str) -> bool:
        (row,) = look.rows([B], pruned=[], channels={}, running=running, now=NOW)
        return row.is_everywhere

    machines = dict.fromkeys([*MACHINE_ROLES, "processor-2"], B.version)
    assert everywhere(**machines)
    assert not everywhere(**machines | {"processor-2": A.version})
    assert not everywhere()


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (timedelta(seconds=-5), "0 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(hours=48), "2 d"),
    ],
)
def test_an_age_is_said_in_its_largest_unit(passed: timedelta, said: str) -> None:
    assert look.age(passed) == said


def changed(**other: Any) -> Release:
    """Return B with another kafka, otherwise of A's AMIs."""
    kafka: Part = replace(A.parts[Role.KAFKA], ami_id="ami-new", **other)
    return replace(B, parts=dict(A.parts) | {Role.KAFKA: kafka})


def test_amis_of_the_same_contents_differ_in_nothing() -> None:
    assert look.diff(A, changed(), (NOTHING, NOTHING)) == []


def image(digit: str, base: str) -> ImageRecord:
    return ImageRecord(
        name=f"bullion/kafka:{digit * 12}", id=f"sha256:{digit * 64}", base=base, origin="packages"
    )


@pytest.mark.parametrize(
    ("other", "kind", "name", "before", "after"),
    [
        ({"source_ami": "ami-x"}, "source AMI", "", "ami-0000000000000000b", "ami-x"),
        ({"parameters": {}}, "parameter", "batch_size", "100", "-"),
        ({"parameters": {"batch_size": "7"}}, "parameter", "batch_size", "100", "7"),
        ({"files": {"/usr/bin/bullion": "f" * 64}}, "file", "/usr/bin/bullion", "0" * 12, "f" * 12),
        (
            {"data_format": DataFormat(name="kafka", writes=28, reads_min=8, reads_max=28)},
            "data format",
            "",
            look.describe(KAFKA),
            "kafka: writes 28, reads 8 to 28",
        ),
    ],
)
def test_what_differs_is_named_with_both_sides(
    other: dict[str, Any], kind: str, name: str, before: str, after: str
) -> None:
    (found,) = look.diff(A, changed(**other), (NOTHING, NOTHING))
    expected = look.Difference(role=Role.KAFKA, kind=kind, name=name, before=before, after=after)
    assert found == expected


def test_an_image_differs_by_its_digest_and_its_base_not_by_its_tag() -> None:
    one, two = changed(images=(image("1", "b1"),)), changed(images=(image("2", "b2"),))
    two = replace(two, parts={r: replace(p, ami_id=f"{r}-2") for r, p in two.parts.items()})
    found = [(d.kind, d.name, d.before, d.after) for d in look.diff(one, two, (NOTHING, NOTHING))]
    assert found == [
        ("image", "bullion/kafka", "1" * 12, "2" * 12),
        ("image base", "bullion/kafka", "b1", "b2"),
    ]


def test_packages_are_compared_by_the_bills() -> None:
    def bill(version: str) -> dict[str, Any]:
        row = {"name": "openssl", "version": version, "purl": f"pkg:deb/debian/openssl@{version}"}
        return {"components": [{"type": "library", "properties": [], **row}]}

    bills = ({**NOTHING, Role.KAFKA: bill("1")}, {**NOTHING, Role.KAFKA: bill("2")})
    (found,) = look.diff(A, changed(), bills)
    assert (found.kind, found.name, found.before, found.after) == (
        "package (machine)",
        "deb openssl",
        "1",
        "2",
    )
