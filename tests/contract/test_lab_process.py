"""A lab is found by its name, not by whatever serves at its port."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

from runtime.lab import process
from runtime.lab.hypervisor import Hypervisor, connect
from runtime.settings import Settings
from tests.contract import emulator as served


def test_another_lab_at_the_port_is_not_taken_for_this_one(
    tmp_path: Path, lab_settings: Settings
) -> None:
    for name, is_ours in ((lab_settings.lab_id, True), ("another-123456", False)):
        (tmp_path / name).mkdir()
        with served.emulator(tmp_path / name, hypervisor=Hypervisor(connect(), name)) as one:
            at = replace(lab_settings, lab_port=urlparse(one.url).port or 0)
            assert process._answers(at) is is_ours


def test_nothing_at_the_port_is_no_lab(lab_settings: Settings) -> None:
    assert not process._answers(replace(lab_settings, lab_port=1))
