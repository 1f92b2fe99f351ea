"""A lab without a stack; one of its own where BULLION_LAB says so, which is then removed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.lab import control
from runtime.settings import Settings
from runtime.verbs.testing import BESIDE


@pytest.fixture(scope="session", autouse=True)
def _lab_begins_empty_and_goes_afterwards(lab_settings: Settings) -> Iterator[None]:
    is_own = lab_settings.lab_name == BESIDE["tests/machines"]
    if is_own:  # what a killed run left is in the way of names and addresses
        control.reset(lab_settings, yes=True)
    yield
    if is_own:
        control.reset(lab_settings, yes=True)
