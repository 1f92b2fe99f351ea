"""./invoke says in one error what it can't have, and prepares nothing for a question."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runtime import proc
from runtime.errors import UsageError
from runtime.settings import ROOT, Settings

COREUTILS = (
    "bash",
    "cat",
    "cut",
    "dirname",
    "id",
    "mkdir",
    "sed",
    "sha256sum",
    "sort",
    "uname",
    "head",
)
VERBS = (ROOT / ".venv/bin/python", "-B", "tasks.py")  # as ./invoke ends, when all is prepared


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A computer with little more than a shell: a folder that is its whole PATH."""
    for name in COREUTILS:
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    return tmp_path


def test_what_cannot_be_had_is_one_error_that_names_it(bare: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("invoke", "requirements.lock"):
        shutil.copy(ROOT / name, checkout)
    env = {"PATH": str(bare), "HOME": str(tmp_path)}
    done = proc.run(["bash", checkout / "invoke", "up"], timeout_s=60, env=env, ok=range(256))
    assert done.status == 3
    assert "python3 missing, and there is no apt-get here" in done.stderr
    assert "hint: install python3 by hand" in done.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("words", [["--list"], ["--help"], ["release.list"]])
def test_a_question_needs_no_docker_and_no_tools(
    lab_settings: Settings, bare: Path, words: list[str]
) -> None:
    (bare / "python3").symlink_to(ROOT / ".venv/bin/python")
    env = lab_settings.passed_on() | {"PATH": str(bare), "DOCKER_HOST": "unix:///nowhere.sock"}
    done = proc.run([ROOT / "invoke", *words], timeout_s=60, env=env, ok=range(256))
    assert done.status == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "No idea what 'nonsense' is"),
        (["bake", "--nosuch"], "No idea what '--nosuch' is"),
        (["logs"], "positional arguments: 'machine'"),
        (["--help", "nonsense"], "No idea what 'nonsense' is"),
    ],
)
def test_words_that_are_no_command_are_wrong_usage(
    lab_settings: Settings, words: list[str], said: str
) -> None:
    argv = [*VERBS, *words]
    done = proc.run(argv, timeout_s=60, cwd=ROOT, env=lab_settings.passed_on(), ok=range(256))
    assert done.status == UsageError.code
    assert said in done.stderr
    assert "hint: ./invoke --list" in done.stderr


@pytest.mark.parametrize("verb", ["images.build", "lab.up", "lab.status"])
def test_a_docker_that_does_not_answer_is_named(lab_settings: Settings, verb: str) -> None:
    env = lab_settings.passed_on() | {"DOCKER_HOST": "unix:///nowhere.sock", "BULLION_LAB": "none"}
    argv = [*VERBS, verb]
    done = proc.run(argv, timeout_s=60, cwd=ROOT, env=env, ok=range(256))
    shutil.rmtree(ROOT / ".lab-none", ignore_errors=True)
    assert done.status == 3, done.stderr
    assert "Docker does not answer" in done.stderr
    assert "docker info" in done.stderr.partition("hint: ")[2]


def test_a_taken_port_is_named_before_anything_is_made(lab_settings: Settings) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        env = lab_settings.passed_on() | {"BULLION_LAB": "other", "BULLION_LAB_PORT": port}
        argv = [*VERBS, "lab.up"]
        done = proc.run(argv, timeout_s=60, cwd=ROOT, env=env, ok=range(256))
    shutil.rmtree(ROOT / ".lab-other", ignore_errors=True)
    assert done.status == 12
    assert f"port {port} on 127.0.0.1 is taken" in done.stderr
