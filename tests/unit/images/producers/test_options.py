"""Arguments go over the environment, and nonsense is refused."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from producers.__main__ import parse
from producers.messages import SourceError
from producers.sampling import LeftOut
from producers.sources import open_source
from producers.stop import Stop, StoppedError


def test_arguments_go_over_the_environment() -> None:
    asked = parse(["--count", "3"], {"BULLION_MESSAGE_COUNT": "9", "BULLION_INTERVAL_S": "0.5"})
    assert (asked.count, asked.interval, asked.batch_size) == (3, 0.5, 50)
    assert parse(["--delivery", "300"], {}).delivery == 300
    assert parse([], {"BULLION_MESSAGE_SOURCE": "nvml"}).source == "nvml"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--count", "0"],
        ["--count", "x"],
        ["--interval", "-1"],
        ["--interval", "nan"],
        ["--seed", "1e3"],
        ["--delivery", "0"],
        ["--queue", "0"],
    ],
)
def test_numbers_out_of_bounds_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments, {})
    assert ended.value.code == 2
    assert "from" in capsys.readouterr().err


def test_an_option_is_not_guessed_from_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--sour", "nvml"], {})
    assert "--sour" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "simulate", "relative.jsonl", "https://a/metrics", "NVML"])
def test_a_source_that_is_none_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(SourceError, match="simulation, nvml, -, a file's absolute path, http://"):
        open_source(parse([f"--source={name}"], {}), {}, stop=Stop(), left_out=LeftOut())


@pytest.mark.parametrize(("interval", "sizes"), [("0", [1000, 200]), ("0.001", [50] * 24)])
def test_without_a_pause_batches_are_large(interval: str, sizes: list[int]) -> None:
    asked = parse(["--count", "600", "--interval", interval], {})
    batches = open_source(asked, {}, stop=Stop(), left_out=LeftOut())
    assert [len(batch.messages) for batch in batches] == sizes


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    made = Stop()
    made.install()
    yield made
    signal.signal(signal.SIGTERM, before[0])
    signal.signal(signal.SIGINT, before[1])


def test_a_signal_cuts_a_pause_short(stop: Stop) -> None:
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(StoppedError):
        stop.pause(600)
    timer.join()
    assert stop.signal == signal.SIGTERM


def test_a_pause_ends_once_it_makes_no_sense_to_go_on() -> None:
    stop, answers = Stop(), iter([True, True, False])
    stop.meanwhile = lambda: next(answers)
    with pytest.raises(StoppedError):
        stop.pause(600)
    assert list(answers) == []


def test_a_signal_elsewhere_is_only_noted_and_ends_the_next_pause(stop: Stop) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)
    assert stop.signal == signal.SIGINT
    with pytest.raises(StoppedError):
        stop.pause(600)
