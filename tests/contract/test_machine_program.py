"""The machine program, as it lands on a machine: it runs alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from runtime.bake import stage
from runtime.contract.paths import MACHINE_PROGRAM

ROOT = Path(__file__).resolve().parents[2]


def test_the_machine_program_runs_alone_on_the_standard_library(tmp_path: Path) -> None:
    for path, content in stage.machine_program(ROOT).items():
        placed = tmp_path / path.lstrip("/")
        placed.parent.mkdir(parents=True, exist_ok=True)
        placed.write_bytes(content)

    ended = subprocess.run(
        [sys.executable, "-I", "-S", tmp_path / str(MACHINE_PROGRAM).lstrip("/"), "--help"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert "check" in ended.stdout
