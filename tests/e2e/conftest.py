"""One lab, one deployed stack for all end-to-end tests: what `./invoke up` makes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runtime import proc
from runtime.cloud.target import Target
from runtime.settings import Settings
from runtime.verbs.common import find_target

INVOKE_S = 2400
Invoke = Callable[..., proc.Completed]


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


@pytest.fixture(scope="session")
def up(invoke: Invoke) -> proc.Completed:
    """The stack, deployed; from nothing where there is none."""
    done = invoke("up")
    assert done.status == 0, done.stderr[-4000:]
    return done


@pytest.fixture
def target(up: proc.Completed, lab_settings: Settings) -> Target:
    """The running lab with the stack in it."""
    assert up
    return find_target(lab_settings)
