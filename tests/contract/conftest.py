"""What contract tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import emulator as served
from tests.contract.emulator import Emulator


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """The lab's API over a moto with nothing in it."""
    with served.emulator(tmp_path) as one:
        yield one
