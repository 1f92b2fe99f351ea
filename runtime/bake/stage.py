"""Renders what lands on a machine: rootfs of base and role, machine program, manifest, parameters.

Same inputs, same bytes: no clock, no host name, files in order.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from jinja2 import Environment, StrictUndefined

from runtime.bake.digests import digest, file_digest, files_below, is_executable
from runtime.contract import parameters, paths
from runtime.contract.data import OWNERS, DataFormat, read_format
from runtime.contract.manifest import Manifest
from runtime.contract.roles import Role
from runtime.errors import UsageError

_PROGRAM = ("errors.py", "contract", "machine")
_ENTRY = "from runtime.machine.__main__ import main\nimport sys\n\nsys.exit(main(sys.argv[1:]))\n"


def complete(root: Path, manifest: Manifest) -> Manifest:
    """Return `manifest` with the files and parameter defaults that its AMI gets.

    Files of base are among those of a role, which is baked on it.
    """
    staged = {} if manifest.role is Role.BASE else _files(root, Role.BASE, {})
    staged |= _files(root, manifest.role, _image_names(manifest))
    return replace(
        manifest,
        files={f"/{path}": digest(content) for path, (content, _) in sorted(staged.items())},
        parameters={p.name: str(p.default) for p in parameters.for_role(manifest.role)},
        data_format=_data_format(root, manifest),
    )


def stage(root: Path, manifest: Manifest, into: Path) -> None:
    """Write `rootfs.tar`, which a bake unpacks onto /, and `manifest.json` below `into`."""
    files = _files(root, manifest.role, _image_names(manifest))
    (into / "rootfs.tar").write_bytes(_tar(files))
    (into / "manifest.json").write_text(manifest.to_json())


def inputs(root: Path, role: Role) -> dict[str, str]:
    """Return {path: digest} of everything that is staged for a role."""
    files = [source for source, _ in _rootfs(root, role)]
    files += (
        _program(root) if role is Role.BASE else sorted((root / "runtime/contract").glob("*.py"))
    )
    return {str(path.relative_to(root)): file_digest(path) for path in files}


def machine_program(root: Path) -> dict[str, bytes]:
    """Return {path on a machine: content} of the machine program.

    Files, not one archive: Python keeps what it compiled of files alone, and a boot runs it twice.
    """
    sources = {str(path.relative_to(root)): path.read_bytes() for path in _program(root)}
    sources |= {"__main__.py": _ENTRY.encode(), "runtime/__init__.py": b""}
    return {str(paths.MACHINE_PROGRAM / name): sources[name] for name in sorted(sources)}


def _files(root: Path, role: Role, images: Mapping[str, str]) -> dict[str, tuple[bytes, bool]]:
    """Return {path below /: (content, is executable)} of what is staged for a role."""
    environment = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    files: dict[str, tuple[bytes, bool]] = {}
    for source, target in _rootfs(root, role):
        content = source.read_bytes()
        if source.suffix == ".j2":
            content = environment.from_string(content.decode()).render(images=images).encode()
        files[target] = (content, is_executable(source))
    if role is Role.BASE:
        files |= {_relative(path): (code, False) for path, code in machine_program(root).items()}
    else:
        catalogue = json.dumps(parameters.describe(role), indent=2) + "\n"
        files[_relative(paths.PARAMETERS)] = (catalogue.encode(), False)
    return files


def _data_format(root: Path, manifest: Manifest) -> DataFormat | None:
    """Return what the role's store writes, which depends on what its image was built from."""
    if manifest.role not in OWNERS or not manifest.images:
        return None
    where = f"images/{manifest.role}/data-format.json"
    known = read_format((root / where).read_text(), where=where)
    origin = manifest.images[0].origin
    if origin in known:
        return known[origin]
    message = f"{where} does not say what an image from {origin} writes"
    raise UsageError(message, hint=f"add {origin!r} to {where}; see images/README.md")


def _image_names(manifest: Manifest) -> dict[str, str]:
    return {image.name.split("/")[1].split(":")[0]: image.name for image in manifest.images}


def _rootfs(root: Path, role: Role) -> Iterator[tuple[Path, str]]:
    """Yield (source, path on the machine) of the role's own files."""
    folder = root / "runtime/rootfs" / role
    for source in files_below(folder):
        yield source, str(source.relative_to(folder)).removesuffix(".j2")


def _program(root: Path) -> list[Path]:
    found = []
    for name in _PROGRAM:
        path = root / "runtime" / name
        found += [path] if path.is_file() else sorted(path.glob("*.py"))
    return found


def _relative(path: PurePosixPath | str) -> str:
    return str(path).lstrip("/")


def _tar(files: Mapping[str, tuple[bytes, bool]]) -> bytes:
    """Return an archive of {path: (content, is executable)}, owned by root, without times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            content, runs = files[name]
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if runs else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
