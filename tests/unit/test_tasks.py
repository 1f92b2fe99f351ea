"""The verbs: each is documented, each flag too, and none does the work itself."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from invoke import Context, Exit
from invoke.parser import Parser

import tasks
from runtime.bake.bake import _Run
from runtime.errors import INTERRUPTED, SpaceError, UsageError
from runtime.lab import control
from runtime.settings import ROOT, Settings
from runtime.verbs.common import spell_out
from runtime.verbs.operating import parse_count

VERBS = {name: tasks.ns[name] for name in tasks.ns.task_names}
LONGEST = 10


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_and_every_flag_has_help(name: str) -> None:
    verb = VERBS[name]
    assert (verb.__doc__ or "").strip().endswith(".")
    # Once: Invoke takes the texts out of a task when it is asked.
    unhelped = [argument.name for argument in verb.get_arguments() if not argument.help]
    assert unhelped == []


def test_the_verbs_are_those_the_readme_names() -> None:
    chapter = (ROOT / "README.md").read_text().partition("## Every verb\n")[2].partition("\n## ")[0]
    usages = re.findall(r"^    \./invoke (?!-)(.+?)(?:  |$)", chapter, re.MULTILINE)
    said = {call.split()[0] for usage in usages for call in usage.split(" | ")}
    assert said == {name.removesuffix(".all") for name in VERBS}
    parser = Parser(tasks.ns.to_contexts())
    for call in (call for usage in usages for call in usage.split(" | ")):
        words = re.sub(r"[\[\]]", "", call).split()
        (understood,) = parser.parse_argv(spell_out(words, tasks.MAY_FOLLOW))
        given = [value for value in understood.as_kwargs.values() if value in words]
        assert len(given) == sum(word.isupper() or "," in word for word in words), call


def test_a_body_is_short() -> None:
    tree = ast.parse((ROOT / "tasks.py").read_text())
    bodies = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name != "verb"
    ]
    long = [node.name for node in bodies if (node.end_lineno or 0) - node.body[0].lineno > LONGEST]
    assert len(bodies) > 20
    assert long == []


def test_an_interrupt_promises_nothing_and_ends_as_shells_have_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def body(_: Context) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Exit) as ended:
        tasks.verb()(body)(Context())
    assert ended.value.code == INTERRUPTED
    assert "interrupted, perhaps half-way; ./invoke status" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "1e3"])
def test_a_count_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="count"):
        parse_count(text)


class Usage(NamedTuple):
    """As shutil.disk_usage returns it, in bytes."""

    total: int
    used: int
    free: int


def test_too_little_disk_is_said_before_anything_starts(
    lab_settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 99, 3 << 30))
    with pytest.raises(SpaceError, match=r"need 12 GiB of disk; 3\.0 GiB are free"):
        control._refuse_without_room(lab_settings)
    with pytest.raises(SpaceError, match=r"needs 8 GiB of disk; 3\.0 GiB are free"):
        _Run._refuse_without_room(SimpleNamespace(settings=lab_settings))  # type: ignore[arg-type]
