"""What a README says that a test shows, a test of that name shows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = sorted(path for path in ROOT.glob("*/README.md") if "`test_" in path.read_text())
DURABILITY = "## What survives what"


def functions() -> set[str]:
    """Return the names of all tests."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.parent.name)
def test_every_test_that_a_readme_names_is_there(path: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", path.read_text()))
    assert named - functions() == set()


def test_there_are_such_readmes() -> None:
    assert [path.parent.name for path in NAMED] == ["images", "tests"]


def test_every_cell_of_what_survives_names_its_tests_and_every_test_is_in_a_cell() -> None:
    section = (ROOT / "images/README.md").read_text().partition(DURABILITY)[2].partition("\n## ")[0]
    known = dict(re.findall(r"^- (\w) `(test_\w+)`$", section, re.MULTILINE))
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    cells = [cell for row in rows[1:] for cell in row[1:] if cell != "-"]
    cited = [cell.partition(" · ")[2].split(", ") for cell in cells]
    assert len(cells) > 30
    assert {letter for letters in cited for letter in letters} == set(known)


def test_every_fault_has_a_row_with_a_test() -> None:
    table = (ROOT / "tests/README.md").read_text()
    rows = re.findall(r"^\| (T\d+) \|.*\| .*`test_\w+`.* \|$", table, re.MULTILINE)
    assert rows == [f"T{number}" for number in range(1, 18)]
