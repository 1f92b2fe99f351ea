"""Dead letters: messages that could not be stored as what they should be."""

from __future__ import annotations

import json
from typing import Any

from runtime import console
from runtime.cloud import machines
from runtime.cloud import ssh as remote
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.errors import CommandError, UsageError
from runtime.settings import Settings
from runtime.verbs.common import exclusive, find_target
from runtime.verbs.operating import parse_count

ASK_S = 600  # a replay ends by itself before (images/processor/processor/letters.py)
_WRONG, _ENDED = 2, 3  # exit statuses of a request that makes no sense, a replay cut short


def show_all(settings: Settings, *, limit: str, as_json: bool) -> None:
    """List dead letters, the newest first, without their bytes."""
    found = _ask(find_target(settings), ["list", "--limit", str(parse_count(limit) or 100)])
    if as_json:
        console.result_json(found)
        return
    rows = [
        (one["_id"], f"{one['topic']}/{one['partition']}@{one['offset']}", one["reason"][:80])
        for one in found["letters"]
    ]
    for line in console.layout(rows, header=("id", "where in Kafka", "why")) if rows else ():
        console.result(line)
    console.note(f"{found['total']} dead letters; ./invoke dead-letters.show ID tells all of one")


def show(settings: Settings, key: str) -> None:
    """Print one dead letter."""
    console.result_json(_ask(find_target(settings), ["show", key]))


@exclusive
def replay(settings: Settings, keys: str, *, everything: bool) -> None:
    """Try to store dead letters again, and print what became of them."""
    chosen = choose(keys, everything=everything)
    with console.step("Replaying"):
        found = _ask(find_target(settings), ["replay", *chosen])
    console.result_json(found)
    if ended := found.get("ended"):
        command, hint = "bullion letters replay", "./invoke dead-letters.replay: the rest again"
        raise CommandError(command, status=_ENDED, tail=ended, hint=hint)


@exclusive
def drop(settings: Settings, keys: str, *, everything: bool, yes: bool) -> None:
    """Delete dead letters, after asking."""
    chosen = choose(keys, everything=everything)
    target = find_target(settings)
    total = len(chosen)
    if everything:
        listed = _ask(target, ["list", "--limit", "1"])
        total, chosen = listed["total"], all_of(listed)
    if not yes and not console.confirm(f"Delete {total} dead letters for ever?"):
        message = "nothing was deleted"
        raise UsageError(message, hint="./invoke dead-letters.drop … --yes")
    console.result_json(_ask(target, ["drop", *chosen]))


def choose(keys: str, *, everything: bool) -> list[str]:
    """Return the words that name letters: ids out of "a,b", or --all.

    Raises:
        UsageError: both, or neither.
    """
    named = [key for key in keys.split(",") if key]
    if bool(named) == everything:
        message = "name dead letters by their ids, or all of them"
        raise UsageError(message, hint="./invoke dead-letters.list; then ID,ID… or --all")
    return named or ["--all"]


def all_of(listed: dict[str, Any]) -> list[str]:
    """Return the words that name all letters of a listing, and none that came after it."""
    newest = [one["first_seen"] for one in listed["letters"][:1]]
    return ["--all", "--until", *(newest or ["1970-01-01T00:00:00Z"])]


def _ask(target: Target, words: list[str]) -> dict[str, Any]:
    machine = machines.find_any(target, Role.PROCESSOR)
    try:
        asked = ["sudo", "bullion", "letters", *words]
        said = remote.run(target, machine, asked, timeout_s=ASK_S, ok=(0, _ENDED))
    except CommandError as error:
        if error.status != _WRONG:
            raise
        lines = error.tail.strip().splitlines() or ["refused"]
        raise UsageError(lines[-1], hint="./invoke dead-letters.list") from error
    return dict(json.loads(said.stdout))
