"""The soak as a person runs it: a short one is good, and an interrupted one leaves nothing."""

from __future__ import annotations

import json
import re

from runtime import proc
from runtime.errors import INTERRUPTED
from runtime.lab.machines.client import connect
from runtime.settings import Settings
from tests.observing import HEEDING_SIGINT

SEED = "3944"  # of two rounds in which all kinds of targets are killed, and one is cut off


def test_what_was_confirmed_is_stored_exactly_once_whatever_is_killed(
    lab_settings: Settings,
) -> None:
    soak = [lab_settings.root / ".venv/bin/python", "-m", "tests.soak.run"]
    asked = ["--seed", SEED, "--rounds", "2", "--json"]
    done = proc.run([*soak, *asked], timeout_s=600, env=lab_settings.passed_on(), ok=(0, 1))
    found = json.loads(done.stdout)
    assert (done.status, found["ok"]) == (0, True), done.stderr[-9000:]
    assert [one["number"] for one in found["rounds"]] == [1, 2]
    for one in found["rounds"]:
        assert one["faults"]
        assert not any(one["verdict"].values()), one["verdict"]
    last = found["rounds"][-1]
    assert last["sent"] == last["confirmed"] == last["stored"]
    assert last["dead_letters"] > 100


def test_an_interrupted_soak_leaves_no_container_and_no_network(lab_settings: Settings) -> None:
    argv = [*HEEDING_SIGINT, lab_settings.root / ".venv/bin/python", "-m", "tests.soak.run"]
    mine, docker = "", connect()
    with proc.stream(argv, env=lab_settings.passed_on()) as running:
        for line in running.lines:
            if found := re.search(r"Starting (bullion-test-\w+)-kafka", line):
                mine = found[1]
                break
        made = docker.networks.list(names=[mine])
        running.interrupt()
        said, status = list(running.lines), running.wait(60)
    left = docker.containers.list(all=True, filters={"name": mine})
    assert made
    assert (status, left, docker.networks.list(names=[mine])) == (INTERRUPTED, [], []), said
    docker.close()
