"""Packer's machine-readable rows become phases, times and an AMI id."""

from __future__ import annotations

import pytest

from runtime.bake.live import draw
from runtime.bake.packer import Progress, parse_row, phase_of
from runtime.contract.roles import Role


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1700000000,,ui,say,Hello%!(PACKER_COMMA) you", ("ui", ["say", "Hello, you"])),
        (
            "1700000000,amazon-ebs.golden,artifact,0,id,us-east-1:ami-1",
            ("artifact", ["0", "id", "us-east-1:ami-1"]),
        ),
        ("1700000000,,ui,error,one\\ntwo", ("ui", ["error", "one\ntwo"])),
        ("something else", ("", [])),
        ("a,b,c", ("", [])),
        ("", ("", [])),
    ],
)
def test_a_row_is_taken_apart(row: str, expected: tuple[str, list[str]]) -> None:
    assert parse_row(row) == expected


@pytest.mark.parametrize(
    ("said", "phase"),
    [
        ("==> amazon-ebs.golden: Launching a source AWS instance...", "launching"),
        ("==> x: Waiting for SSH to become available...", "booting"),
        ("==> x: Provisioning with shell script: /a/provisioners/load-images.sh", "load-images"),
        ("==> x: Creating AMI bullion-kafka from instance i-1", "creating AMI"),
        ("    x: Reading package lists...", ""),
    ],
)
def test_what_packer_says_tells_the_phase(said: str, phase: str) -> None:
    assert phase_of(said) == phase


def test_a_bakes_seconds_are_kept_per_phase() -> None:
    progress = Progress(role=Role.KAFKA, started=0.0, _phase_began=0.0)
    progress.feed("1,,ui,say,Waiting for SSH", now=2.0)
    progress.feed("1,,ui,say,Waiting for SSH to become available", now=3.0)
    progress.feed("1,,ui,say,Creating AMI x", now=5.0)
    progress.enter("done", now=9.0)
    assert progress.seconds == {"waiting": 2.0, "booting": 3.0, "creating AMI": 4.0}


def test_the_ami_id_comes_from_the_artifact_alone() -> None:
    progress = Progress(role=Role.KAFKA)
    progress.feed("1,,ui,say,AMI: ami-0000", now=1.0)
    assert progress.ami_id == ""
    progress.feed("1,x,artifact,0,id,us-east-1:ami-1234", now=1.0)
    assert progress.ami_id == "ami-1234"


def test_the_live_table_tells_what_remains_from_the_last_run() -> None:
    baking = Progress(role=Role.KAFKA, phase="booting", started=100.0)
    done = Progress(
        role=Role.MONGO, phase="done", ami_id="ami-1", seconds={"a": 4.0}, started=100.0
    )
    lines = draw({Role.KAFKA: baking, Role.MONGO: done}, {Role.KAFKA: 30.0}, now=110.0)
    assert lines[2].split() == ["kafka", "booting", "10.0", "s", "~20.0", "s"]
    assert lines[3].split() == ["mongo", "done", "4.0", "s", "ami-1"]
