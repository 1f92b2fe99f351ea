"""The boot step: whatever it is given, it leaves a status, and never a stack with old values."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from runtime.contract import parameters
from runtime.contract.manifest import Manifest
from runtime.contract.roles import Role
from runtime.errors import BootError, BullionError
from runtime.machine import boot, check, stack
from runtime.machine.render import render, server_properties

ROOTFS = Path(check.__file__).parents[1] / "rootfs"
PEERS = '{"kafka": "10.20.1.10", "mongo": "10.20.1.11"}'


class Metadata:
    """A metadata service that answers what a test wants."""

    def __init__(self, tags: dict[str, str] | BootError) -> None:
        self._tags = tags

    def address(self) -> str:
        return "10.20.1.12"

    def tags(self) -> dict[str, str]:
        if isinstance(self._tags, BootError):
            raise self._tags
        return self._tags


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A processor's file system, as baked and launched."""
    put(tmp_path, "usr/share/bullion/manifest.json", manifest(Role.PROCESSOR))
    put(tmp_path, "etc/bullion/peers.json", PEERS)
    return tmp_path


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def manifest(role: Role) -> str:
    return Manifest(role=role, version="v", key="k", source_ami="a").to_json()


def environment(root: Path) -> dict[str, str]:
    lines = (root / "run/bullion/stack.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_a_killed_consumers_partitions_are_free_after_ten_seconds() -> None:
    values = parameters.resolve(Role.KAFKA, {})
    text = server_properties("10.20.1.10", values)
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert settings["group.consumer.session.timeout.ms"] == "10000"
    assert settings["group.consumer.min.session.timeout.ms"] == "10000"  # or it would not start


def test_a_good_boot_writes_what_the_stack_needs(root: Path) -> None:
    status = boot.boot(Metadata({"bullion-param:consume_batch": "7"}), root=root)
    seen = environment(root)
    assert status.ok, status.error
    assert seen["BULLION_KAFKA"] == "10.20.1.10:9092"
    assert seen["BULLION_MONGO"] == "mongodb://10.20.1.11:27017"
    assert seen["BULLION_CONSUME_BATCH"] == "7"
    assert boot.read_status(root) == status
    assert list(status.phases) == ["identity", "peers", "address", "parameters", "files"]


def test_booting_twice_leaves_the_same_files(root: Path) -> None:
    boot.boot(Metadata({}), root=root)
    before = environment(root)
    boot.boot(Metadata({}), root=root)
    assert environment(root) == before
    assert sorted(p.name for p in (root / "run/bullion").iterdir()) == ["stack.env", "status.json"]


@pytest.mark.parametrize(
    ("name", "text", "phase", "why"),
    [
        ("etc/bullion/peers.json", "{", "peers", "the peers file is not JSON"),
        ("etc/bullion/peers.json", "{}", "peers", "the peers file lacks 'kafka'"),
        ("usr/share/bullion/manifest.json", "{", "identity", "the manifest is damaged"),
    ],
)
def test_a_bad_file_fails_its_phase_and_takes_the_old_environment_away(
    root: Path, name: str, text: str, phase: str, why: str
) -> None:
    assert boot.boot(Metadata({}), root=root).ok
    put(root, name, text)
    status = boot.boot(Metadata({}), root=root)
    assert not status.ok
    assert why in status.error
    assert list(status.phases)[-1] == phase
    assert not (root / "run/bullion/stack.env").exists()
    assert boot.read_status(root) == status


@pytest.mark.parametrize("name", ["etc/bullion/peers.json", "usr/share/bullion/manifest.json"])
def test_a_missing_file_is_named(root: Path, name: str) -> None:
    (root / name).unlink()
    status = boot.boot(Metadata({}), root=root)
    assert not status.ok
    assert f"there is no /{name}" in status.error


def test_kafka_needs_no_peers_file(tmp_path: Path) -> None:
    put(tmp_path, "usr/share/bullion/manifest.json", manifest(Role.KAFKA))
    assert boot.boot(Metadata({}), root=tmp_path).ok
    properties = (tmp_path / "run/bullion/server.properties").read_text()
    assert "advertised.listeners=PLAINTEXT://10.20.1.12:9092" in properties


@pytest.mark.parametrize(
    "tags",
    [
        {"bullion-param:consume_batch": "many"},
        {"bullion-param:nonsense": "1"},
        BootError("no tags"),
    ],
)
def test_bad_tags_fail_the_boot(root: Path, tags: dict[str, str] | BootError) -> None:
    status = boot.boot(Metadata(tags), root=root)
    assert not status.ok
    assert list(status.phases)[-1] == "parameters"
    assert not (root / "run/bullion/stack.env").exists()


@pytest.mark.parametrize("how", ["tags", "peers"])
def test_a_refresh_that_a_boot_would_fail_at_touches_nothing(root: Path, how: str) -> None:
    assert boot.boot(Metadata({}), root=root).ok
    before = {path: path.read_text() for path in (root / "run/bullion").iterdir()}
    tags = {"bullion-param:consume_batch": "many"} if how == "tags" else {}
    if how == "peers":
        put(root, "etc/bullion/peers.json", "{}")
    why = "consume_batch is 'many'" if how == "tags" else "the peers file lacks 'kafka'"
    with pytest.raises(BullionError, match=why):  # before any program is started
        stack.refresh(Metadata(tags), root=root)
    assert {path: path.read_text() for path in (root / "run/bullion").iterdir()} == before


def test_a_refresh_restarts_boot_and_stack_in_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(stack, "run", lambda argv, **_: started.append(argv))
    monkeypatch.setattr(stack.data, "grow", lambda: None)
    stack.refresh(Metadata({}), root=root)
    assert started == [["systemctl", "restart", "bullion-boot.service", "bullion-stack.service"]]


def test_no_status_before_the_first_boot(tmp_path: Path) -> None:
    with pytest.raises(BootError, match="has not booted yet"):
        boot.read_status(tmp_path)


def test_a_changed_parameter_changes_what_compose_compares() -> None:
    def config(**more: int) -> str:
        values = {
            "topic_partitions": 4,
            "kafka_heap_mb": 384,
            "kafka_flush_messages": 1,
            "gpu_topic": "a",
            "token_topic": "b",
        }
        files = render(Role.KAFKA, address="10.0.0.1", peers={}, parameters=values | more)
        env = dict(line.split("=", 1) for line in files["stack.env"].splitlines())
        return env["BULLION_CONFIG"]

    assert config() == config()
    assert config(topic_partitions=8) != config()


def test_missing_indexes_are_named_by_collection_and_key() -> None:
    seen = {name: [["_id"], *map(list, wanted)] for name, wanted in check.INDEXES.items()}
    assert check.indexes_missing(seen) == []
    seen["token_usage"].remove(["model", "ts", "_id"])
    assert check.indexes_missing(json.loads(json.dumps(seen))) == ["token_usage{model,ts,_id}"]


def test_the_indexes_that_are_made_are_those_that_are_looked_for() -> None:
    probe = ROOTFS / "mongo/usr/lib/bullion/probe"
    (made,) = (
        line.value
        for line in ast.parse(probe.read_text()).body
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "INDEXES"
    )
    assert ast.literal_eval(made) == check.INDEXES
