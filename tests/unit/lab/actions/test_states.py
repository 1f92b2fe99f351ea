"""States are held back, and filters match what is shown."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from runtime.lab.actions.states import (
    PENDING,
    SHUTTING_DOWN,
    STOPPING,
    States,
    keep_matching,
    take_filters,
)
from runtime.lab.ec2 import Ec2, plain

RUNS = "<r><instanceId>i-1</instanceId><instanceState><code>16</code><name>running</name></instanceState></r>"


class OneRunning(Ec2):
    """Knows one machine, which runs."""

    def __init__(self) -> None:
        """Need no app."""

    def machine(self, _: str) -> ET.Element:
        return plain(RUNS)


def test_what_ended_does_not_end_what_has_begun_since() -> None:
    states = States(OneRunning())
    states.begin("i-1", STOPPING)
    states.begin("i-1", SHUTTING_DOWN)
    states.end("i-1", STOPPING)
    assert states.of("i-1") == SHUTTING_DOWN
    states.end("i-1", SHUTTING_DOWN)
    assert states.of("i-1") == (16, "running")


def test_a_state_is_shown_while_somebody_has_a_hand_on_the_machine() -> None:
    states = States(OneRunning())
    with states.passing("i-1", PENDING):
        assert states.of("i-1") == PENDING
    assert states.of("i-1") == (16, "running")


def test_filters_by_state_are_split_off_and_the_others_stay_in_order() -> None:
    asked = {
        "MaxResults": "5",
        "Filter.1.Name": "vpc-id",
        "Filter.1.Value.1": "vpc-1",
        "Filter.2.Name": "state",
        "Filter.2.Value.1": "a",
        "Filter.2.Value.2": "b",
        "Filter.3.Name": "zone",
        "Filter.3.Value.1": "z",
    }
    assert take_filters(asked, ["state"]) == (
        {
            "MaxResults": "5",
            "Filter.1.Name": "vpc-id",
            "Filter.1.Value.1": "vpc-1",
            "Filter.2.Name": "zone",
            "Filter.2.Value.1": "z",
        },
        [("state", ["a", "b"])],
    )


def test_what_does_not_match_goes_with_a_reservation_that_has_no_more() -> None:
    one = "<item><n><s>{}</s></n></item>"
    groups = "".join(
        f"<item><instancesSet>{''.join(map(one.format, states))}</instancesSet></item>"
        for states in (("running", "stopped"), ("stopped",))
    )
    found = plain(f"<r><reservationSet>{groups}</reservationSet></r>")
    keep_matching(found, "n/s", ["run*"])
    assert [element.text for element in found.iter("s")] == ["running"]
    assert len(found.findall("reservationSet/item")) == 1
