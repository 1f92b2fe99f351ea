"""What contract tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# moto reads it when it is imported: its own 1300 AMIs take a second at each reset.
os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).with_name("amis.json"))

from processor import consumer, store

from runtime.lab import subnets
from runtime.lab.actions import instances
from runtime.lab.ec2 import Ec2
from runtime.settings import Settings
from tests.contract import emulator as served
from tests.contract.emulator import Emulator, Scripted
from tests.contract.loops import World
from tests.contract.pipeline import Pipeline
from tests.contract.scripted import Lab


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """The lab's API over a moto with nothing in it."""
    with served.emulator(tmp_path) as one:
        yield one


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The lab's API with machines that do as they are told."""
    monkeypatch.setattr(instances, "PATIENCE_S", 0.05)
    machines = Scripted()
    with served.emulator(tmp_path, hypervisor=machines) as one:
        subnet = one.loopback_subnet()
        yield Lab(emulator=one, machines=machines, ec2=one.client(), subnet=subnet)
        machines.go.set()
        for known in subnets.read_all(one.ec2).values():
            one.api.services.close(known)


@pytest.fixture
def ec2() -> Iterator[Ec2]:
    """Plain moto, with nothing in it."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    from moto import mock_aws
    from moto.server import DomainDispatcherApplication, create_backend_app

    with mock_aws():
        yield Ec2(DomainDispatcherApplication(create_backend_app), "us-east-1")


@pytest.fixture(scope="module")
def pipeline(
    lab_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """Kafka, the store and the processor, healthy."""
    with Pipeline(lab_settings, tmp_path_factory.mktemp("pipeline")) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def broker(lab_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Kafka alone."""
    with Pipeline(lab_settings, tmp_path_factory.mktemp("broker")) as made:
        made.start_kafka()
        yield made


@pytest.fixture
def world(broker: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Loops that lose patience soon, on a broker and into a sink."""
    monkeypatch.setattr(consumer, "BACKOFF_S", (0.2, 1.0))
    monkeypatch.setattr(consumer, "LAG_S", 0.2)
    monkeypatch.setattr(store, "TIMEOUT_MS", 1000)
    monkeypatch.setattr(store, "SOCKET_MS", 1000)
    made = World(broker)
    yield made
    made.close()
