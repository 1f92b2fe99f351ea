"""Errors, waiting, settings, locks and what a person sees."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import console, errors, lock, proc, settings, wait
from runtime.errors import BullionError, BusyError, CommandError, UsageError, WaitError
from runtime.settings import TargetName
from runtime.verbs import common

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, BullionError)
]


def test_every_error_has_an_exit_code_of_its_own_and_stands_in_the_table() -> None:
    codes = {kind.code: kind.__name__ for kind in CLASSES}
    assert len(codes) == len(CLASSES)
    assert not {0, errors.INTERRUPTED} & codes.keys()
    for code, name in codes.items():
        assert re.search(rf"{name} +{code}\b", errors.__doc__ or ""), name


def test_an_error_ends_with_the_next_thing_to_type() -> None:
    assert str(UsageError("no such role", hint="./invoke status")).endswith("hint: ./invoke status")
    assert str(UsageError("no such role")) == "no such role"


def test_a_failed_command_shows_its_last_lines() -> None:
    error = CommandError("ls /x", status=2, tail="no such file")
    assert str(error) == "exit status 2 from: ls /x\n  | no such file"


def test_waiting_returns_what_the_probe_found() -> None:
    answers = iter([0, "", "here"])
    assert wait.until(lambda: next(answers), what="it", timeout_s=5, every_s=0) == "here"


def test_waiting_ends_and_tells_the_last_state_seen() -> None:
    with pytest.raises(WaitError, match="waited 0 s for a boot; last seen: pending"):
        wait.until(lambda: False, what="a boot", timeout_s=0, last=lambda: "pending")


def test_the_probe_is_asked_once_even_without_time() -> None:
    assert wait.until(lambda: "yes", what="it", timeout_s=0) == "yes"


def test_a_command_line_is_shown_as_a_shell_takes_it_without_secrets() -> None:
    shown = proc.render(["login", "--password", "hunter 2", "a b"], redact=["hunter 2"])
    assert shown == "login --password '***' 'a b'"


def test_programs_get_a_minimal_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LD_PRELOAD", "x")
    assert not {"AWS_SECRET_ACCESS_KEY", "LD_PRELOAD"} & proc.minimal_env({"A": "1"}).keys()


def test_programs_reach_the_world_by_the_operators_proxy_and_this_computer_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (*proc.PROXIES, *proc.PAST_PROXIES):
        monkeypatch.delenv(name, raising=False)
    assert not proc.minimal_env().keys() & {*proc.PROXIES, *proc.PAST_PROXIES}
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    env = proc.minimal_env()
    assert env["https_proxy"] == "http://proxy:3128"
    assert env["no_proxy"] == env["NO_PROXY"] == "localhost,127.0.0.1"
    monkeypatch.setenv("NO_PROXY", "intranet")
    env = proc.minimal_env()
    assert env["no_proxy"] == env["NO_PROXY"] == "intranet,localhost,127.0.0.1"


def test_a_key_that_an_agent_holds_opens_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    assert proc.minimal_env()["SSH_AUTH_SOCK"] == "/run/agent"


def test_a_missing_program_is_named_with_what_needs_it() -> None:
    with pytest.raises(
        errors.ToolError, match="no-such-tool is not on this computer; the lab needs"
    ):
        proc.find("no-such-tool", needed_by="the lab")


def test_one_at_a_time_and_the_second_is_told_who(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    with lock.hold(path, what="./invoke up"):
        with pytest.raises(BusyError, match=r"\./invoke up, process \d+"):
            with lock.hold(path, what="another"):
                pass
    with lock.hold(path, what="afterwards"):
        pass


def test_a_runs_file_is_held_while_it_works_and_gone_afterwards(tmp_path: Path) -> None:
    with lock.mark(tmp_path, "run-1", what="a bake"):
        assert lock.is_held(tmp_path / "run-1")
    assert list(tmp_path.iterdir()) == []
    assert not lock.is_held(tmp_path / "run-1")


def test_a_runs_file_that_nobody_holds_is_seen_to_be_free(tmp_path: Path) -> None:
    (tmp_path / "run-1").write_text("a bake, process 1\n")
    assert not lock.is_held(tmp_path / "run-1")
    with lock.hold(tmp_path / "run-1", what="another"):
        assert lock.is_held(tmp_path / "run-1")


def test_runs_are_at_work_or_killed(tmp_path: Path) -> None:
    (tmp_path / "run-1").touch()
    with lock.mark(tmp_path, "run-2", what="a bake"):
        assert lock.find_killed(tmp_path) == ["run-1"]
        assert lock.find_at_work(tmp_path) == ["run-2"]
    assert lock.find_killed(tmp_path / "none") == lock.find_at_work(tmp_path / "none") == []


def test_a_verb_that_waits_its_turn_says_for_whom_and_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = dataclasses.replace(settings.load("aws", env={}), root=tmp_path)
    seen = []

    @common.in_turn
    def bake(given: settings.Settings) -> None:
        seen.append(lock.is_held(given.work_dir / "lock"))

    other = lock.hold(where.work_dir / "lock", what="./invoke deploy")
    other.__enter__()
    monkeypatch.setattr(time, "sleep", lambda _: other.__exit__(None, None, None))
    bake(where)
    assert seen == [True]
    assert "Waiting, as another run is at work here: ./invoke deploy, process" in (
        capsys.readouterr().err
    )


def test_a_verb_that_does_not_wait_is_refused(tmp_path: Path) -> None:
    where = dataclasses.replace(settings.load("aws", env={}), root=tmp_path)
    deploy = common.exclusive(lambda _: None)
    with lock.hold(where.work_dir / "lock", what="./invoke bake"):
        with pytest.raises(BusyError, match=r"\./invoke bake, process"):
            deploy(where)


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"BULLION_LAB_PORT": "80"}, "BULLION_LAB_PORT is '80'; allowed: 1024 to 65535"),
        ({"BULLION_LAB_PORT": "x"}, "BULLION_LAB_PORT"),
        ({"BULLION_LAB": "../x"}, "BULLION_LAB is"),
        ({"BULLION_BASES": "docker"}, "allowed: auto, registry, packages"),
    ],
)
def test_a_variable_that_does_not_parse_is_named(env: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        settings.load("lab", env=env)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UsageError, match="no target 'gcp'"):
        settings.load("gcp", env={})


def test_the_operators_credentials_reach_aws_alone() -> None:
    env = {"AWS_PROFILE": "p", "BULLION_SSH_KEY": "/k", "OTHER": "x", "HOME": "/h"}
    loaded = settings.load("aws", env=env)
    assert loaded.target is TargetName.AWS
    assert loaded.aws_credentials == {"AWS_PROFILE": "p"}
    assert loaded.passed_on() == {"BULLION_SSH_KEY": "/k"}
    assert loaded.ledger_dir == settings.ROOT / "releases"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CA_BUNDLE",
    ],
)
def test_what_boto3_takes_from_the_environment_packer_and_terraform_get_too(name: str) -> None:
    assert settings.load("aws", env={name: "x"}).aws_credentials == {name: "x"}


def test_the_labs_key_is_the_labs_alone() -> None:
    assert settings.load("aws", env={}).ssh_key == Path()
    assert settings.load("lab", env={}).ssh_key.name == "id_ed25519"


def test_labs_of_two_names_share_nothing() -> None:
    one, other = settings.load("lab", env={}), settings.load("lab", env={"BULLION_LAB": "other"})
    assert one.lab_id != other.lab_id
    assert one.lab_dir != other.lab_dir


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3720, "1 h 02 min"),
    ],
)
def test_durations_read_well(seconds: float, shown: str) -> None:
    assert console.duration(seconds) == shown


def test_a_table_is_aligned_and_a_cell_may_hold_lines() -> None:
    lines = console.layout([("a", "one\ntwo"), ("bb", "x")], header=("k", "value"))
    assert lines == ["k   value", "──  ─────", "a   one", "    two", "bb  x"]


def test_off_a_terminal_a_live_table_says_each_line_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    live = console.Live()
    for _ in range(2):
        live.draw(["ignored"], plain=["kafka: booting"])
    assert capsys.readouterr().err == "kafka: booting\n"


def test_a_step_ends_with_its_mark_and_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with console.step("Baking"):
        console.note("inside")
    with pytest.raises(ValueError, match="x"), console.step("Failing"):
        raise ValueError("x")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "• Baking"
    assert said[1] == "  inside"
    assert said[2].startswith("✓ Baking ")
    assert said[-1].startswith("✗ Failing ")


def test_without_a_terminal_a_question_is_answered_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert console.confirm("Destroy?") is False


def invoke_says(text: str) -> None:
    with console.quiet_if_unread():
        print(text)  # noqa: T201 - so does Invoke


@pytest.mark.parametrize("buffering", [1, -1], ids=["by line", "in blocks"])
@pytest.mark.parametrize("say", [console.result, invoke_says])
def test_a_reader_that_has_seen_enough_ends_us_without_a_word(
    monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None], buffering: int
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=buffering) as closed:
        monkeypatch.setattr("sys.stdout", closed)
        with pytest.raises(SystemExit) as ended:
            say("more than anybody reads")
    assert ended.value.code == console.PIPE_CLOSED


def test_a_broken_pipe_that_is_not_our_output_is_not_kept_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write, "w") as ours:
        monkeypatch.setattr("sys.stdout", ours)
        with pytest.raises(BrokenPipeError), console.quiet_if_unread():
            raise BrokenPipeError


def test_a_closed_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    invoke_says("nobody hears this")
