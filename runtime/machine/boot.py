"""The boot step: reads peers, tags and the own address, checks all, writes files; starts nothing.

Whatever happens a status is left in /run/bullion/status.json. On failure the stack's environment
is removed, so that a stack cannot start with what an earlier boot wrote.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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


def boot(imds: Imds, *, root: Path = Path("/")) -> BootStatus:
    """Configure the machine from what it was launched with; idempotent.

    Args:
        imds: the metadata service.
        root: where the machine's file system begins; tests give a folder.
    """
    phases: dict[str, float] = {}

    def phase(name: str, work: Callable[[], T]) -> T:
        started = time.monotonic()
        try:
            return work()
        finally:
            phases[name] = round(time.monotonic() - started, 3)

    role = ""
    address = ""
    values: Mapping[str, catalogue.Value] = {}
    error = ""
    try:
        identity = phase("identity", lambda: _manifest(root))
        role = identity.role
        peers = phase("peers", lambda: _peers(root, identity.role))
        address = phase("address", imds.address)
        values = phase("parameters", lambda: catalogue.resolve(identity.role, imds.tags()))
        files = render(identity.role, address=address, peers=peers, parameters=values)
        phase("files", lambda: _write(root, files))
    except BullionError as failure:
        error = str(failure)
        _below(root, paths.STACK_ENV).unlink(missing_ok=True)
    status = BootStatus(
        ok=not error,
        role=role,
        phases=phases,
        error=error,
        parameters={name: str(value) for name, value in values.items()},
        address=address,
    )
    _write(root, {paths.STATUS.name: status.to_json()})
    return status


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
