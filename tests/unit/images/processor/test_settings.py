"""What the processor is told: all of it, and within bounds."""

from __future__ import annotations

import pytest
from processor.__main__ import main
from processor.settings import SettingError, Settings

ENV = {
    "BULLION_KAFKA": "k:9092",
    "BULLION_MONGO": "mongodb://m",
    "BULLION_GPU_TOPIC": "g",
    "BULLION_TOKEN_TOPIC": "t",
    "BULLION_DATABASE": "d",
    "BULLION_CONSUMER_GROUP": "c",
    "BULLION_CONSUME_BATCH": "10",
}


@pytest.mark.parametrize("name", ENV)
def test_a_missing_setting_is_named(name: str) -> None:
    Settings.parse(ENV)
    with pytest.raises(SettingError, match=name):
        Settings.parse({key: value for key, value in ENV.items() if key != name})


@pytest.mark.parametrize("text", ["0", "many", "100001", "-1"])
def test_a_batch_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="BULLION_CONSUME_BATCH"):
        Settings.parse(ENV | {"BULLION_CONSUME_BATCH": text})


def test_a_topic_for_both_kinds_of_message_is_refused() -> None:
    with pytest.raises(
        SettingError, match="BULLION_GPU_TOPIC and BULLION_TOKEN_TOPIC are both 't'"
    ):
        Settings.parse(ENV | {"BULLION_GPU_TOPIC": "t"})


def test_a_wrong_setting_is_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (ENV | {"BULLION_CONSUME_BATCH": "many"}).items():
        monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "processor: BULLION_CONSUME_BATCH is 'many'; allowed: 1 to 100000\n"
