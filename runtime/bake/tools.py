"""What bakes, by the versions that the tools themselves tell."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path

from runtime import proc
from runtime.errors import ToolError
from runtime.settings import Settings

ASK_S = 30
_ENV = {"CHECKPOINT_DISABLE": "1"}


def versions(settings: Settings) -> dict[str, str]:
    """Return {tool: version} of all that shapes an AMI besides its inputs.

    A program is asked once and remembered until its file is another one: where nothing is to be
    baked, none is started.

    Raises:
        ToolError: a tool is missing or does not tell its version.
    """
    memory = settings.cache_dir / "tool-versions.json"
    return {
        "packer": remembered(memory, proc.find(settings.packer, needed_by="a bake"), _ask_packer),
        "packer-plugin-amazon": remembered(memory, _plugin(settings.packer_plugins), _ask_plugin),
        "jinja2": importlib.metadata.version("jinja2"),
    }


def remembered(memory: Path, program: Path, ask: Callable[[Path], str]) -> str:
    """Return what `ask` said of `program`, asked again only when its file changed."""
    seen = program.resolve().stat()
    mark = f"{program.resolve()} {seen.st_size} {seen.st_mtime_ns}"
    known = _read(memory)
    if mark not in known:
        known = {old: version for old, version in known.items() if not _is_of(old, program)}
        known[mark] = ask(program)
        memory.parent.mkdir(parents=True, exist_ok=True)
        new = memory.with_suffix(".new")
        new.write_text(json.dumps(known, indent=1))
        new.replace(memory)
    return known[mark]


def _ask_packer(program: Path) -> str:
    said = proc.run([program, "version", "-machine-readable"], timeout_s=ASK_S, env=_ENV).stdout
    rows = (line.split(",") for line in said.splitlines())
    told = next((row[3] for row in rows if row[2:3] == ["version"] and len(row) > 3), "")
    return told or _refuse(program, said)


def _ask_plugin(program: Path) -> str:
    said = proc.run([program, "describe"], timeout_s=ASK_S, env=_ENV).stdout
    try:
        return str(json.loads(said)["version"])
    except (ValueError, KeyError, TypeError):
        return _refuse(program, said)


def _refuse(program: Path, said: str) -> str:
    message = f"{program} does not tell its version; it said: {said.strip()[:200]!r}"
    raise ToolError(message, hint=f"remove {program} and run ./invoke, which installs it again")


def _plugin(folder: Path) -> Path:
    found = [p for p in folder.rglob("packer-plugin-amazon_*") if not p.name.endswith("SHA256SUM")]
    if len(found) == 1:
        return found[0]
    seen = ", ".join(path.name for path in found) or "none"
    message = f"{folder} should hold one amazon plugin for Packer; there is: {seen}"
    raise ToolError(message, hint=f"remove {folder} and run ./invoke, which installs it again")


def _is_of(mark: str, program: Path) -> bool:
    return mark.rsplit(" ", 2)[0] == str(program.resolve())


def _read(memory: Path) -> dict[str, str]:
    try:
        return dict(json.loads(memory.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
