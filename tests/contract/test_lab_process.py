"""A lab knows its own process from whatever else answers at a port."""

from __future__ import annotations

import dataclasses

from runtime.lab import process
from runtime.settings import Settings
from tests.contract.emulator import Emulator


def test_another_lab_at_the_port_is_not_taken_for_this_one(
    emulator: Emulator, lab_settings: Settings
) -> None:
    port = int(emulator.url.rpartition(":")[2])
    here = dataclasses.replace(lab_settings, lab_port=port)
    assert not process._is_answering(here)
    emulator.api.hypervisor.lab = here.lab_id
    assert process._is_answering(here)
