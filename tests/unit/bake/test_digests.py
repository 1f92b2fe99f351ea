"""What counts as a source, and what does not."""

from __future__ import annotations

from pathlib import Path

from runtime.bake.digests import files_below


def test_what_python_caches_beside_a_program_is_no_source_of_it(tmp_path: Path) -> None:
    for name in ("usr/lib/probe", "usr/lib/__pycache__/probe.pyc", "a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert files_below(tmp_path) == [tmp_path / "a", tmp_path / "usr/lib/probe"]
