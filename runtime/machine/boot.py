"""The boot step: reads peers, tags and the own address, checks all, writes files; starts nothing.

Whatever happens a status is left in /run/bullion/status.json. On failure the stack's environment
is removed, so that a stack cannot start with what an earlier boot wrote.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from runtime.contract import parameters as catalogue
from runtime.contract import paths
from runtime.contract.manifest import Manifest
from runtime.contract.peers import NEEDS, parse_peers
from runtime.contract.roles import Role
from runtime.contract.status import BootStatus
from runtime.errors import BootError, BullionError
from runtime.machine.imds import Imds
from runtime.machine.render import render

T = TypeVar("T")


@dataclass(kw_only=True)
class _Read:
    """What a boot reads, as far as it came, and the files that follow from it."""

    role: str = ""
    address: str = ""
    values: Mapping[str, catalogue.Value] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)

    def phase(self, name: str, work: Callable[[], T]) -> T:
        started = time.monotonic()
        try:
            return work()
        finally:
            self.phases[name] = round(time.monotonic() - started, 3)

    def read(self, imds: Imds, root: Path) -> None:
        role = self.phase("identity", lambda: _manifest(root)).role
        self.role = role
        peers = self.phase("peers", lambda: _peers(root, role))
        self.address = self.phase("address", imds.address)
        self.values = self.phase("parameters", lambda: catalogue.resolve(role, imds.tags()))
        self.files = render(role, address=self.address, peers=peers, parameters=self.values)


def boot(imds: Imds, *, root: Path = Path("/")) -> BootStatus:
    """Configure the machine from what it was launched with; idempotent.

    Args:
        imds: the metadata service.
        root: where the machine's file system begins; tests give a folder.
    """
    seen, error = _Read(), ""
    try:
        seen.read(imds, root)
        seen.phase("files", lambda: _write(root, seen.files))
    except BullionError as failure:
        error = str(failure)
        _below(root, paths.STACK_ENV).unlink(missing_ok=True)
    status = BootStatus(
        ok=not error,
        role=seen.role,
        phases=seen.phases,
        error=error,
        parameters={name: str(value) for name, value in seen.values.items()},
        address=seen.address,
    )
    _write(root, {paths.STATUS.name: status.to_json()})
    return status


def rehearse(imds: Imds, *, root: Path = Path("/")) -> None:
    """Raise BullionError with what a boot would fail with now; nothing is written."""
    _Read().read(imds, root)


def read_status(root: Path = Path("/")) -> BootStatus:
    """Return the last boot's status, or raise BootError when there was none."""
    try:
        return BootStatus.parse(_below(root, paths.STATUS).read_text())
    except FileNotFoundError as error:
        message = "the machine has not booted yet: there is no status"
        raise BootError(message, hint="sudo systemctl status bullion-boot") from error


def _manifest(root: Path) -> Manifest:
    try:
        return Manifest.parse(_below(root, paths.MANIFEST).read_text())
    except FileNotFoundError as error:
        message = f"there is no {paths.MANIFEST}: this is not one of Bullion's AMIs"
        raise BootError(message, hint="./invoke bake") from error


def _peers(root: Path, role: Role) -> dict[Role, str]:
    try:
        text = _below(root, paths.PEERS).read_text()
    except FileNotFoundError as error:
        if not NEEDS[role]:
            return {}
        message = f"there is no {paths.PEERS}: the user data did not bring it"
        raise BootError(
            message, hint="launch with user data as terraform/locals.tf writes it"
        ) from error
    return parse_peers(text, role=role)


def _write(root: Path, files: Mapping[str, str]) -> None:
    folder = _below(root, paths.RUN)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        new = folder / f".{name}.new"
        new.write_text(content)
        new.chmod(0o644)
        new.replace(folder / name)


def _below(root: Path, path: object) -> Path:
    return root / str(path).lstrip("/")
