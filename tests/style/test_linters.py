"""Linters as tests, so that one command says yes or no."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv/bin"
SCRIPTS = [
    path
    for path in subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
    ).stdout.split()
    if (ROOT / path).is_file()
    and (ROOT / path).read_bytes()[:64].startswith((b"#!/usr/bin/env bash", b"#!/bin/sh"))
]
LONGEST = 350


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param([BIN / "ruff", "check", "."], id="ruff"),
        pytest.param([BIN / "ruff", "format", "--check", "."], id="ruff-format"),
        pytest.param([BIN / "mypy"], id="mypy"),
        pytest.param([BIN / "lint-imports", "--no-cache"], id="import-linter"),
        pytest.param([BIN / "shellcheck", *SCRIPTS], id="shellcheck"),
        pytest.param([BIN / "hadolint", *ROOT.glob("**/Dockerfile")], id="hadolint"),
        pytest.param(
            [BIN / "codespell", "--skip=*.lock,.venv,.git,.lab*,.aws,*_cache", "."], id="codespell"
        ),
        pytest.param(["PACKER", "fmt", "-check", "-recursive", "packer"], id="packer-fmt"),
        pytest.param(["TERRAFORM", "fmt", "-check", "-recursive", "terraform"], id="terraform-fmt"),
    ],
)
def test_the_linter_has_nothing_to_say(argv: list[str | Path]) -> None:
    tools = {
        name: os.environ.get(f"BULLION_{name}", name.lower()) for name in ("PACKER", "TERRAFORM")
    }
    words = [tools.get(str(word), str(word)) for word in argv]
    ended = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]


def test_there_are_scripts_to_lint() -> None:
    assert len(SCRIPTS) > 10


def test_no_file_is_long() -> None:
    sources = [path for path in ROOT.glob("**/*.py") if not {".venv"} & set(path.parts)]
    long = {
        str(path): lines
        for path in sources
        if (lines := len(path.read_text().splitlines())) > LONGEST
    }
    assert sources
    assert long == {}
