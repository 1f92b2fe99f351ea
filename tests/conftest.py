"""What all tests share: settings of this checkout, and unit tests that touch nothing outside."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from runtime import settings
from runtime.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _unit_tests_stay_inside(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make a unit test fail that starts a process or opens a connection."""
    if "unit" not in request.path.relative_to(ROOT / "tests").parts:
        return

    def refuse(*args: object, **_: object) -> None:
        message = f"a unit test must not do this: {args[:2]}"
        raise AssertionError(message)

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def lab_settings() -> Settings:
    """The settings of this checkout for the lab."""
    return settings.load("lab")
