"""What the lab remembers of its machines is what it did to them."""

from __future__ import annotations

import types
from typing import Any

import pytest
from docker.errors import APIError

from runtime.errors import LabError
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.keepers import Keepers


class Written(Hypervisor):
    """Counts what is written to machines; an answer may get lost."""

    def __init__(self) -> None:
        super().__init__(None, "lab")
        self.written: list[str] = []
        self.loses_answers = False

    def _container(self, _: str) -> Any:
        return types.SimpleNamespace(put_archive=self._put)

    def _put(self, _: str, archive: bytes) -> None:
        self.written.append(archive[512:1024].rstrip(b"\0").decode())
        if self.loses_answers:
            message = "connection reset"
            raise APIError(message)


def test_a_list_of_volumes_is_written_when_it_changes_and_after_a_write_that_may_have_failed() -> (
    None
):
    machines = Written()
    for _ in range(2):
        machines._write_list("i-1", "one")
    assert machines.written == ["one"]
    machines.loses_answers = True
    with pytest.raises(APIError):
        machines._write_list("i-1", "two")
    machines.loses_answers = False
    machines._write_list("i-1", "one")
    assert machines.written == ["one", "two", "one"]


def test_a_keeper_that_did_not_take_rules_and_is_gone_by_now_is_told_as_that() -> None:
    def logs(**_: object) -> bytes:
        message = "dead or marked for removal"
        raise APIError(message, explanation=message)

    refuses = types.SimpleNamespace(
        exec_run=lambda _: types.SimpleNamespace(exit_code=1), logs=logs
    )
    containers = types.SimpleNamespace(get=lambda _: refuses)
    keepers = Keepers(types.SimpleNamespace(containers=containers), "lab", bridges=None)
    with pytest.raises(LabError, match="i-1 did not come into force: dead or marked"):
        keepers.load_rules("i-1", "loaded_1")
