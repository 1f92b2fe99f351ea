"""The machine program, as it lands on a machine: it runs alone, and is the same bytes each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from runtime.bake import stage

ROOT = Path(__file__).resolve().parents[2]


def test_the_machine_program_runs_alone_on_the_standard_library(tmp_path: Path) -> None:
    program = tmp_path / "machine.pyz"
    program.write_bytes(stage.machine_program(ROOT))

    ended = subprocess.run(
        [sys.executable, "-I", "-S", program, "--help"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert "check" in ended.stdout


def test_the_machine_program_is_the_same_bytes_twice() -> None:
    assert stage.machine_program(ROOT) == stage.machine_program(ROOT)
