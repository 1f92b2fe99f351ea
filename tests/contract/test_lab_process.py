"""A lab knows its own process from whatever else answers at a port."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runtime import proc
from runtime.cloud.target import Target
from runtime.lab import process
from runtime.settings import Settings, TargetName
from tests.contract.emulator import REGION, Emulator
from tests.contract.scripted import Lab


def test_another_lab_at_the_port_is_not_taken_for_this_one(
    emulator: Emulator, lab_settings: Settings
) -> None:
    port = int(emulator.url.rpartition(":")[2])
    here = dataclasses.replace(lab_settings, lab_port=port)
    assert not process._is_answering(here)
    emulator.api.hypervisor.lab = here.lab_id
    assert process._is_answering(here)


def test_the_lab_is_asked_past_the_operators_proxy(
    lab: Lab, lab_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in proc.PAST_PROXIES:
        monkeypatch.delenv(name, raising=False)
    for name in proc.PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    url = lab.emulator.url
    target = Target(
        name=TargetName.LAB,
        region=REGION,
        endpoint=url,
        credentials={"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"},
        ssh_key=Path(),
        ssh_user="",
        known_hosts=Path(),
    )
    assert target.ec2.describe_regions()["Regions"]
    here = dataclasses.replace(lab_settings, lab_port=int(url.rpartition(":")[2]))
    assert process.ask(here, process.IDENTITY) == lab.machines.lab
