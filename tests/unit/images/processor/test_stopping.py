"""A stop has time for all that it does, before Docker and then systemd lose patience."""

from __future__ import annotations

import re

from processor.__main__ import ANSWER_S
from processor.app import DRAIN_S
from processor.consumer import REVOKE_S

from runtime.settings import ROOT

UNIT = ROOT / "runtime/rootfs/base/etc/systemd/system/bullion-stack.service"
COMPOSE = ROOT / "runtime/rootfs/processor/usr/share/bullion/stack/compose.yaml.j2"


def test_answers_and_then_the_drain_fit_into_what_docker_waits_and_that_into_systemds() -> None:
    (docker_s,) = re.findall(r"stop_grace_period: (\d+)s", COMPOSE.read_text())
    (systemd_s,) = re.findall(r"TimeoutStopSec=(\d+)", UNIT.read_text())
    assert REVOKE_S < DRAIN_S
    assert ANSWER_S + DRAIN_S < int(docker_s) < int(systemd_s)
