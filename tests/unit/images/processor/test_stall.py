"""A client is given up when it stands still for a while before messages that another gets."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException
from processor import stall
from processor.stall import StallError, Watch

PLACE = ("t", 0)


class Broker:
    """Knows how far the partition goes, unless it is away."""

    low, high, is_away = 0, 5, False

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        if self.is_away:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return self.low, self.high


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr(stall, "STILL_S", 0.0)
    monkeypatch.setattr(stall, "_another_gets", lambda *_: True)
    return Broker()


def test_what_has_just_come_is_not_missed_yet(broker: Broker) -> None:
    watch = Watch("")
    watch.look(broker, {PLACE: 5})
    broker.high = 6
    watch.look(broker, {PLACE: 5})
    broker.high = 7
    watch.look(broker, {PLACE: 6})
    with pytest.raises(StallError, match="t/0: Kafka has more from 6 on"):
        watch.look(broker, {PLACE: 6})


@pytest.mark.parametrize("why", ["excused", "kafka is away", "the partition went"])
def test_with_a_reason_to_stand_still_it_begins_anew(broker: Broker, why: str) -> None:
    watch = Watch("")
    broker.high = 6
    watch.look(broker, {PLACE: 5})
    if why == "excused":
        watch.excuse()
    else:
        broker.is_away = why == "kafka is away"
        watch.look(broker, {PLACE: 5} if broker.is_away else {})
    broker.is_away = False
    watch.look(broker, {PLACE: 5})
    with pytest.raises(StallError):
        watch.look(broker, {PLACE: 5})


def test_what_aged_out_is_nothing_to_get(broker: Broker) -> None:
    watch = Watch("")
    broker.low = broker.high = 9
    for _ in range(3):
        watch.look(broker, {PLACE: 5})
