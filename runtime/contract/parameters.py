"""The parameters an operator may set: default baked, override by an instance tag.

An override is an instance tag `bullion-param:<name>`, which the machine reads from its metadata
service; Terraform has one variable per parameter that makes the tag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from runtime.contract.roles import Role
from runtime.errors import BootError

TAG_PREFIX = "bullion-param:"
Value = str | int | float


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One thing an operator may set.

    Attributes:
        name: snake_case with its unit; `BULLION_<NAME>` in a stack's environment.
        kind: "str", "int" or "float".
        default: what is baked.
        meaning: one line for a person.
        roles: the roles that read it.
        least, most: inclusive bounds of a number.
        pattern: regular expression that the whole of a text must match.
    """

    name: str
    kind: str
    default: Value
    meaning: str
    roles: tuple[Role, ...]
    least: float | None = None
    most: float | None = None
    pattern: str = ""

    def rule(self) -> str:
        """Return what is allowed, for messages."""
        if self.kind == "str":
            return f"text matching {self.pattern}"
        return f"{self.kind} from {self.least:g} to {self.most:g}"

    def parse(self, text: str) -> Value:
        """Return the value that `text` stands for, or raise BootError with the rule."""
        try:
            value: Value = {"str": str, "int": int, "float": float}[self.kind](text)
        except ValueError:
            raise self._refuse(text) from None
        if isinstance(value, str):
            if not re.fullmatch(self.pattern, value):
                raise self._refuse(text)
        elif not (self.least or 0) <= value <= (self.most or 0):  # also refuses nan
            raise self._refuse(text)
        return value

    def _refuse(self, text: str) -> BootError:
        message = f"parameter {self.name} is {text!r}; allowed: {self.rule()}"
        return BootError(
            message, hint=f"correct the tag {TAG_PREFIX}{self.name}, then `./invoke refresh`"
        )


_TOPIC = r"[A-Za-z0-9._-]{1,200}"
_NAME = r"[A-Za-z0-9_-]{1,60}"
_PATH = r"/[A-Za-z0-9._/-]{1,200}"
_URL = r"http://[A-Za-z0-9.-]{1,200}(:[0-9]{1,5})?(/[A-Za-z0-9._/-]{0,200})?"
_SOURCE = rf"simulation|nvml|-|{_PATH}|{_URL}"
_ALL_OF_KAFKA = (Role.KAFKA, Role.PROCESSOR, Role.PRODUCERS)

CATALOG: tuple[Parameter, ...] = (
    Parameter(
        name="gpu_topic",
        kind="str",
        default="gpu.metrics.v1",
        pattern=_TOPIC,
        meaning="topic of GPU measurements",
        roles=_ALL_OF_KAFKA,
    ),
    Parameter(
        name="token_topic",
        kind="str",
        default="token.usage.v1",
        pattern=_TOPIC,
        meaning="topic of token counts",
        roles=_ALL_OF_KAFKA,
    ),
    Parameter(
        name="topic_partitions",
        kind="int",
        default=4,
        least=1,
        most=64,
        meaning="partitions of each topic; they can become more, never fewer",
        roles=(Role.KAFKA,),
    ),
    Parameter(
        name="kafka_heap_mb",
        kind="int",
        default=384,
        least=192,
        most=65536,
        meaning="heap of the broker in MiB",
        roles=(Role.KAFKA,),
    ),
    Parameter(
        name="kafka_flush_messages",
        kind="int",
        default=1,
        least=1,
        most=10**9,
        meaning="messages of a partition after which it is synced; 1: all that is confirmed",
        roles=(Role.KAFKA,),
    ),
    Parameter(
        name="database",
        kind="str",
        default="telemetry",
        pattern=_NAME,
        meaning="database that holds the documents",
        roles=(Role.MONGO, Role.PROCESSOR),
    ),
    Parameter(
        name="mongo_cache_gb",
        kind="float",
        default=0.5,
        least=0.25,
        most=1024,
        meaning="WiredTiger cache in GiB",
        roles=(Role.MONGO,),
    ),
    Parameter(
        name="consumer_group",
        kind="str",
        default="processor",
        pattern=_NAME,
        meaning="consumer group of the processors",
        roles=(Role.PROCESSOR,),
    ),
    Parameter(
        name="consume_batch",
        kind="int",
        default=2000,
        least=1,
        most=100_000,
        meaning="most messages taken from Kafka and stored at once",
        roles=(Role.PROCESSOR,),
    ),
    Parameter(
        name="message_count",
        kind="int",
        default=100,
        least=1,
        most=10_000_000,
        meaning="messages per topic of one producer run",
        roles=(Role.PRODUCERS,),
    ),
    Parameter(
        name="batch_size",
        kind="int",
        default=50,
        least=1,
        most=100_000,
        meaning="messages sent before each pause",
        roles=(Role.PRODUCERS,),
    ),
    Parameter(
        name="interval_s",
        kind="float",
        default=0.0,
        least=0,
        most=3600,
        meaning="pause between two batches in seconds",
        roles=(Role.PRODUCERS,),
    ),
    Parameter(
        name="seed",
        kind="int",
        default=20,
        least=0,
        most=2**31,
        meaning="seed of the simulated series",
        roles=(Role.PRODUCERS,),
    ),
    Parameter(
        name="message_source",
        kind="str",
        default="simulation",
        pattern=_SOURCE,
        meaning=(
            "`simulation`, `nvml`, `-` for stdin, the path of a JSON Lines file on the machine, "
            "or http://host:port/metrics"
        ),
        roles=(Role.PRODUCERS,),
    ),
)


def for_role(role: Role) -> tuple[Parameter, ...]:
    """Return the parameters that `role` reads, in the catalog's order."""
    return tuple(parameter for parameter in CATALOG if role in parameter.roles)


def resolve(role: Role, tags: Mapping[str, str]) -> dict[str, Value]:
    """Return {name: value} for `role`: defaults with the overrides of instance `tags` over them.

    Tags that do not start with TAG_PREFIX are ignored.

    Raises:
        BootError: a tag names no parameter of this role, its value breaks the rule, or both
            topics are one.
    """
    known = {parameter.name: parameter for parameter in for_role(role)}
    values: dict[str, Value] = {name: parameter.default for name, parameter in known.items()}
    for tag, text in tags.items():
        if not tag.startswith(TAG_PREFIX):
            continue
        name = tag.removeprefix(TAG_PREFIX)
        if name not in known:
            message = f"tag {tag} names no parameter of {role}; it has: {', '.join(known)}"
            raise BootError(message, hint=f"remove the tag {tag}, then `./invoke refresh`")
        values[name] = known[name].parse(text)
    topics = {name: values[name] for name in ("gpu_topic", "token_topic") if name in values}
    if len(set(topics.values())) < len(topics):  # each message would be held to be the other kind
        message = f"parameters gpu_topic and token_topic are both {values['gpu_topic']!r}"
        hint = f"give one of the tags {TAG_PREFIX}… another name, then `./invoke refresh`"
        raise BootError(message, hint=hint)
    return values


def describe(role: Role) -> list[dict[str, Any]]:
    """Return the role's catalog as JSON-ready rows, as baked into its AMI."""
    return [
        {name: value for name, value in asdict(parameter).items() if name != "roles"}
        | {"rule": parameter.rule()}
        for parameter in for_role(role)
    ]
