"""Running the tests: first what takes seconds, then machines, and beside them what mostly waits."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from runtime import console, proc
from runtime.errors import UsageError
from runtime.settings import Settings

QUICK = ("tests/unit", "tests/style")
# Each with its lab, as the stack's may be restarted while they are at it.
BESIDE = {"tests/contract": "contract", "tests/machines": "machines"}
MACHINES = ("tests/e2e", "tests/bench")
INTERRUPTED, NONE_FOUND = 2, 5  # pytest's exit statuses


def test(settings: Settings, *, fast: bool, matching: str) -> int:
    """Run pytest on this terminal; return its status, the worst of several runs.

    What is run beside the machines is told when both are through.
    """
    env = settings.passed_on()
    quick = proc.attach(_pytest(settings, QUICK, matching), env=env)
    if fast or quick == INTERRUPTED:
        return quick
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(BESIDE)))
        beside = {
            folder: stack.enter_context(
                proc.stream(_pytest(settings, [folder], matching), env=env | {"BULLION_LAB": lab})
            )
            for folder, lab in BESIDE.items()
        }
        said = {folder: pool.submit(list, running.lines) for folder, running in beside.items()}
        console.note(f"{' and '.join(BESIDE)} run beside, and are told at the end")
        machines = proc.attach(_pytest(settings, MACHINES, matching), env=env)
        if machines == INTERRUPTED:
            return machines
        for folder, lines in said.items():
            if not lines.done():
                console.note(f"waiting for {folder}")
            for line in lines.result():
                console.result(line)
        return worst([quick, machines, *(running.wait(60) for running in beside.values())])


def bench(settings: Settings, name: str) -> int:
    """Run a benchmark of tests/bench on this terminal; return its status."""
    return _run(settings, f"tests.bench.{name}.run")


def soak(settings: Settings, *, minutes: str, seed: str, as_json: bool) -> int:
    """Soak the real images on this terminal; return 0 if every round was good.

    Raises:
        UsageError: a number is none.
    """
    if not re.fullmatch(r"\d+(\.\d+)?", minutes) or not re.fullmatch(r"\d*", seed):
        message = f"minutes are {minutes!r} and the seed is {seed!r}; both are numbers"
        raise UsageError(message, hint="./invoke soak --minutes 10 --seed 7")
    words = ["--minutes", minutes, *(["--seed", seed] if seed else [])]
    return _run(settings, "tests.soak.run", *words, *(["--json"] if as_json else []))


def worst(statuses: Iterable[int]) -> int:
    """Return the status of several runs of pytest together: that none found a test counts last."""
    found = [status for status in statuses if status != NONE_FOUND]
    return max(found, default=NONE_FOUND)


def _run(settings: Settings, module: str, *words: str) -> int:
    python = str(settings.root / ".venv/bin/python")
    return proc.attach([python, "-m", module, *words], env=settings.passed_on())


def _pytest(settings: Settings, folders: Sequence[str], matching: str) -> list[str]:
    argv = [str(settings.root / ".venv/bin/python"), "-m", "pytest", *folders]
    return [*argv, "-k", matching] if matching else argv
