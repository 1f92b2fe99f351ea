"""What the lab remembers of its machines is what it did to them."""

from __future__ import annotations

import types
from typing import Any

import pytest
from docker.errors import APIError

from runtime.lab.machines.hypervisor import Hypervisor


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
