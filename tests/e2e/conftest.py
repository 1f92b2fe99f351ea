"""One lab, one deployed stack for all end-to-end tests: what `./invoke up` makes."""

from __future__ import annotations

import pytest

from runtime import proc
from runtime.cloud.target import Target
from runtime.settings import Settings
from runtime.verbs.common import find_target
from tests.conftest import Invoke


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
