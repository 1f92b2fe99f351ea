"""The simulation is the same for a seed and plausible; a user's file is checked whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from producers.__main__ import parse
from producers.sources import GPU, TOKEN, SourceError, read_lines, simulate

START = datetime(2026, 11, 24, tzinfo=UTC)
TOKEN_LINE = json.dumps(
    {"model": "m", "prompt_tokens": 1, "completion_tokens": 2, "cost_per_token": 0.1, "ts": "t"}
)


def series(seed: int, count: int = 400) -> list[tuple[str, dict[str, object]]]:
    return list(simulate(count=count, seed=seed, start=START))


def test_a_seed_gives_the_same_series_and_another_seed_another() -> None:
    assert series(1) == series(1)
    assert series(1) != series(2)


def test_count_is_per_kind() -> None:
    kinds = [kind for kind, _ in series(1, count=7)]
    assert (kinds.count(GPU), kinds.count(TOKEN)) == (7, 7)


@pytest.mark.parametrize("seed", range(5))
def test_the_values_are_what_such_cards_do(seed: int) -> None:
    gpus = [value for kind, value in series(seed, 2000) if kind == GPU]
    assert all(0 <= gpu["utilization"] <= 100 for gpu in gpus)
    assert all(20 <= gpu["power_w"] <= 420 for gpu in gpus)
    assert all(0 <= gpu["mem_used_mb"] <= 40_960 for gpu in gpus)
    busy = [gpu["power_w"] for gpu in gpus if gpu["utilization"] > 80]
    idle = [gpu["power_w"] for gpu in gpus if gpu["utilization"] < 10]
    assert min(len(busy), len(idle)) > 50
    assert sum(busy) / len(busy) > 3 * sum(idle) / len(idle)


def test_a_file_is_read_by_its_fields_and_empty_lines_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"\n{TOKEN_LINE}\n\n")
    assert [kind for kind, _ in read_lines(path)] == [TOKEN]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (f"{TOKEN_LINE}\nnonsense\n", "line 2 is not JSON"),
        (f"{TOKEN_LINE}\n\n{{}}\n", "line 3 has neither the fields"),
        ("[1]\n", "line 1 has neither"),
        ("", "holds no messages"),
        ("\n\n", "holds no messages"),
    ],
)
def test_a_bad_file_is_refused_by_line(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(SourceError, match=why):
        read_lines(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("absent", "binary", "."):
        with pytest.raises(SourceError, match="can't be read"):
            read_lines(tmp_path / name)


def test_arguments_go_over_the_environment() -> None:
    asked = parse(["--count", "3"], {"BULLION_MESSAGE_COUNT": "9", "BULLION_INTERVAL_S": "0.5"})
    assert (asked.count, asked.interval, asked.batch_size) == (3, 0.5, 50)
    assert parse(["--delivery", "300"], {}).delivery == 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["--count", "0"],
        ["--count", "x"],
        ["--interval", "-1"],
        ["--interval", "nan"],
        ["--seed", "1e3"],
        ["--delivery", "0"],
    ],
)
def test_numbers_out_of_bounds_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments, {})
    assert ended.value.code == 2
    assert "from" in capsys.readouterr().err
