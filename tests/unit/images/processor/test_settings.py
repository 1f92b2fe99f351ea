"""What the processor is told: all of it, and within bounds."""

from __future__ import annotations

import pytest
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
