"""Several runs of pytest are one: red if any is, empty only if all are."""

from __future__ import annotations

import pytest

from runtime.errors import UsageError
from runtime.settings import ROOT, Settings
from runtime.verbs import testing


@pytest.mark.parametrize(
    ("statuses", "together"),
    [
        ([0, 0, 0], 0),
        ([0, 1, 0], 1),
        ([0, 0, 1], 1),
        ([5, 0, 5], 0),
        ([5, 1, 5], 1),
        ([5, 5, 5], 5),
        ([0, 4, 1], 4),
    ],
)
def test_the_worst_status_counts(statuses: list[int], together: int) -> None:
    assert testing.worst(statuses) == together


def test_every_folder_of_tests_is_run() -> None:
    run = {*testing.QUICK, *testing.BESIDE, *testing.MACHINES}
    top = {
        "/".join(path.relative_to(ROOT).parts[:2]) for path in (ROOT / "tests").rglob("test_*.py")
    }
    assert run == top


@pytest.mark.parametrize("asked", [{"minutes": "long"}, {"minutes": "-1"}, {"seed": "a"}])
def test_a_soak_of_no_number_is_refused(lab_settings: Settings, asked: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="both are numbers"):
        testing.soak(lab_settings, **({"minutes": "1", "seed": ""} | asked), as_json=False)
