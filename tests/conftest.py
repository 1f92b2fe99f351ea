"""What all tests share: settings of this checkout, and unit tests that touch nothing outside."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import proc, settings
from runtime.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
INVOKE_S = 2400
Invoke = Callable[..., proc.Completed]


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


@pytest.fixture(scope="session")
def invoke(lab_settings: Settings) -> Invoke:
    """Run a verb as a person types it; any exit status is an answer."""

    def run(*words: str, **env: str) -> proc.Completed:
        return proc.run(
            [lab_settings.root / "invoke", *words],
            timeout_s=INVOKE_S,
            env=lab_settings.passed_on() | env,
            ok=range(256),
        )

    return run
