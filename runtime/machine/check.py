"""What must be true of this machine, asked by the protocols that its users use."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runtime.contract import paths, ports
from runtime.contract.checks import Check
from runtime.contract.data import OWNERS
from runtime.contract.parameters import for_role
from runtime.contract.roles import Role
from runtime.contract.status import BootStatus
from runtime.errors import BullionError
from runtime.machine import boot, data, stack
from runtime.machine.run import run

INDEXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "gpu_metrics": (("ts",), ("host", "ts", "_id"), ("host", "gpu_index", "ts", "_id")),
    "token_usage": (("ts",), ("model", "ts", "_id")),
    "gpus": (("name",), ("gpu_index",)),
    "dead_letters": (("first_seen",),),
}
SEEDED_GPUS = 2
_REFRESH = "./invoke refresh --role {role}"


def check() -> list[Check]:
    """Return every check of the machine's role, the common ones first."""
    status = boot.read_status()
    if not status.ok:
        return [
            _failed("boot", "ended well", status.error, f"./invoke logs {status.role or 'ROLE'}")
        ]
    role = Role(status.role)
    of_role: dict[Role, Callable[[BootStatus], Iterator[Check]]] = {
        Role.KAFKA: _kafka,
        Role.MONGO: _mongo,
        Role.PROCESSOR: _processor,
        Role.PRODUCERS: _producers,
    }
    found = list(_machine(role))
    if role in OWNERS:
        hint = f"./invoke logs {role}"
        found += _timed("data volume", "mounted", lambda: (data.describe(), True), hint)
        if not found[-1].ok:  # Docker waits for it: who asks Docker would hang
            return found
    return [*found, *_stack(role), *of_role[role](status)]


def indexes_missing(seen: Mapping[str, list[list[str]]]) -> list[str]:
    """Return the expected indexes that `seen` lacks, as collection{key,key}."""
    return [
        f"{collection}{{{','.join(keys)}}}"
        for collection, wanted in INDEXES.items()
        for keys in wanted
        if list(keys) not in seen.get(collection, [])
    ]


def _machine(role: Role) -> Iterator[Check]:
    yield _passed("boot", "ended well", "ended well")
    failed = run(["systemctl", "--failed", "--plain", "--no-legend"], timeout_s=10).split("\n")
    names = [line.split()[0] for line in failed if line.strip()]
    yield _judge(
        "units",
        "no failed unit",
        ", ".join(names) or "none failed",
        not names,
        f"./invoke logs {role}",
    )


def _stack(role: Role) -> Iterator[Check]:
    yield from _timed(
        "stack", "healthy", lambda: (stack.health(), stack.is_healthy()), f"./invoke logs {role}"
    )


def _kafka(status: BootStatus) -> Iterator[Check]:
    hint = _REFRESH.format(role="kafka")
    described = _probe(hint, "broker answers by protocol")
    if isinstance(described, Check):
        yield described
        return
    brokers = [f"{b['host']}:{b['port']}" for b in described["brokers"]]
    yield _judge(
        "broker answers by protocol", "1 broker", f"{len(brokers)} broker", len(brokers) == 1, hint
    )
    own = f"{status.address}:{ports.KAFKA}"
    yield _judge("advertised address", own, ", ".join(brokers), brokers == [own], hint)
    wanted = int(status.parameters["topic_partitions"])
    for name in ("gpu_topic", "token_topic"):
        topic = status.parameters[name]
        yield judge_topic(topic, described["topics"].get(topic, {}), wanted, hint)


def judge_topic(topic: str, seen: Mapping[str, int], wanted: int, hint: str) -> Check:
    """Return whether a topic has the partitions wanted, each with a leader; more are no fault."""
    there, led = seen.get("partitions", 0), seen.get("leaders", 0)
    told = f"{led} of {there}" if there else "no such topic"
    if there > wanted:
        told += f"; topic_partitions = {wanted} has no effect, Kafka takes none away"
    expected = f"{wanted} partitions, each with a leader"
    return _judge(f"topic {topic}", expected, told, wanted <= there == led, hint)


def _mongo(_: BootStatus) -> Iterator[Check]:
    hint = _REFRESH.format(role="mongo")
    described = _probe(hint, "ping")
    if isinstance(described, Check):
        yield described
        return
    what = (
        f"FerretDB {described['ferretdb']}, not MongoDB"
        if described["ferretdb"]
        else described["version"]
    )
    yield _passed("ping", "an answer", what)
    gpus = described["counts"].get("gpus", 0)
    reset = "./invoke mongo-factory-reset"
    yield _judge("seed", f"{SEEDED_GPUS} gpus or more", f"{gpus} gpus", gpus >= SEEDED_GPUS, reset)
    missing = indexes_missing(described["indexes"])
    wanted = sum(len(keys) for keys in INDEXES.values())
    seen = f"missing {', '.join(missing)}" if missing else f"{wanted} present"
    yield _judge("indexes by key", f"{wanted} present", seen, not missing, hint)


def _processor(status: BootStatus) -> Iterator[Check]:
    hint = "./invoke logs processor"
    code, health = _http("/health")
    seen = (
        health.get("status", health) if code == 200 else json.dumps(health.get("problems", health))
    )
    yield _judge("/health", "200 ok", f"{code} {seen}", code == 200, hint)
    _, echoed = _http("/parameters")
    wanted = {p.name: status.parameters[p.name] for p in for_role(Role.PROCESSOR)}
    differing = [name for name, value in wanted.items() if str(echoed.get(name)) != value]
    seen = f"differ: {', '.join(differing)}" if differing else f"{len(wanted)} equal"
    yield _judge(
        "parameters echo",
        f"{len(wanted)} equal",
        seen,
        not differing,
        _REFRESH.format(role="processor"),
    )
    environment = stack.environment()
    yield _reach("kafka", environment["BULLION_KAFKA"])
    yield _reach("mongo", environment["BULLION_MONGO"].removeprefix("mongodb://"))
    code, latest = _http("/gpu/info")
    known = code == 200 and {"host", "gpu_index", "utilization"} <= set(latest)
    empty = code == 404
    shown = (
        f"{latest.get('host')} GPU {latest.get('gpu_index')}"
        if known
        else f"{code} {latest.get('error', latest)}"
    )
    yield _judge(
        "/gpu/info", "the latest GPU, or none stored yet", shown, known or empty, "./invoke produce"
    )


def _producers(_: BootStatus) -> Iterator[Check]:
    yield _reach("kafka", stack.environment()["BULLION_KAFKA"])


def _probe(hint: str, name: str) -> Any:
    try:
        return json.loads(run([paths.PROBE, "describe"], timeout_s=20))
    except (BullionError, ValueError) as error:
        return _failed(name, "an answer", str(error).splitlines()[-1].strip(" |"), hint)


def _http(path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.HTTP}{path}", timeout=8) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        try:
            return error.code, json.loads(error.read())
        except ValueError:
            return error.code, {}
    except (OSError, ValueError) as error:
        return 0, {"error": str(error)}


def _reach(name: str, address: str) -> Check:
    host, _, port = address.partition(":")
    started = time.monotonic()
    try:
        with socket.create_connection((host, int(port)), timeout=3):
            seen, ok = "connected", True
    except OSError as error:
        seen, ok = str(error), False
    return Check(
        name=f"TCP reach to {name}",
        ok=ok,
        expected=f"{address} connects",
        seen=seen,
        hint="" if ok else f"./invoke verify.{name}" if name != "producers" else "",
        seconds=round(time.monotonic() - started, 3),
    )


def _timed(
    name: str, expected: str, look: Callable[[], tuple[str, bool]], hint: str
) -> Iterator[Check]:
    started = time.monotonic()
    try:
        seen, ok = look()
    except BullionError as error:
        seen, ok = str(error), False
    seconds = round(time.monotonic() - started, 3)
    yield Check(
        name=name, ok=ok, expected=expected, seen=seen, hint="" if ok else hint, seconds=seconds
    )


def _judge(name: str, expected: str, seen: str, ok: bool, hint: str) -> Check:
    return _passed(name, expected, seen) if ok else _failed(name, expected, seen, hint)


def _passed(name: str, expected: str, seen: str) -> Check:
    return Check(name=name, ok=True, expected=expected, seen=seen)


def _failed(name: str, expected: str, seen: str, hint: str) -> Check:
    return Check(name=name, ok=False, expected=expected, seen=seen, hint=hint)


def has_probe(root: Path = Path("/")) -> bool:
    """Return whether the role has a store to ask."""
    return (root / str(paths.PROBE).lstrip("/")).exists()
