"""A release that can't read what is written is refused before anything is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.contract.data import DataFormat, read_format
from runtime.contract.roles import Role
from runtime.errors import ReleaseError, UsageError
from runtime.release import formats
from runtime.release.record import Release
from tests.unit.release.records import KAFKA, part, release


def keeping(tmp_path: Path, kept: DataFormat | None) -> Release:
    parts = dict(release(tmp_path).parts)
    return release(tmp_path, parts=parts | {Role.KAFKA: part(Role.KAFKA, data_format=kept)})


@pytest.mark.parametrize(
    "writer",
    [KAFKA, replace(KAFKA, writes=7), replace(KAFKA, writes=20, reads_min=20, reads_max=90), None],
)
def test_what_it_can_read_it_may_be_launched_on(tmp_path: Path, writer: DataFormat | None) -> None:
    formats.refuse_unreadable(keeping(tmp_path, KAFKA), {Role.KAFKA: keeping(tmp_path, writer)})


@pytest.mark.parametrize(
    ("reader", "writer", "said"),
    [
        (
            KAFKA,
            replace(KAFKA, writes=28, reads_max=28),
            "wrote kafka level 28, and it reads kafka",
        ),
        (KAFKA, replace(KAFKA, writes=6, reads_min=6), "from level 7 to 27"),
        (KAFKA, replace(KAFKA, name="other"), "wrote other level 27"),
        (None, KAFKA, "and it reads none"),
    ],
)
def test_what_it_cannot_read_refuses_it_by_name(
    tmp_path: Path, reader: DataFormat | None, writer: DataFormat, said: str
) -> None:
    with pytest.raises(ReleaseError, match=said) as refused:
        formats.refuse_unreadable(
            keeping(tmp_path, reader), {Role.KAFKA: keeping(tmp_path, writer)}
        )
    assert "can't read the data of kafka" in refused.value.message
    assert "nothing was touched" in refused.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"writes": 28}, "must have a name, and read what it writes"),
        ({"writes": "27"}, "its writes is no whole number"),
        ({"reads_min": True}, "its reads_min is no whole number"),
        ({"more": 1}, "must hold name, writes"),
    ],
)
def test_a_damaged_format_is_refused_by_its_file(change: dict[str, object], said: str) -> None:
    text = json.dumps({"packages": vars(KAFKA) | change})
    with pytest.raises(UsageError, match=f"images/kafka/x is damaged: .*{said}"):
        read_format(text, where="images/kafka/x")
