"""What the processor is told, read once from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class SettingError(Exception):
    """A variable is missing or does not parse; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where to take from, where to store, and how much at once.

    Attributes:
        kafka: host:port of the broker.
        mongo: URI of the store.
        gpu_topic, token_topic: topics of the two kinds of message.
        database: database that holds the documents.
        consumer_group: the group whose offsets are committed.
        consume_batch: most messages taken and stored at once.
    """

    kafka: str
    mongo: str
    gpu_topic: str
    token_topic: str
    database: str
    consumer_group: str
    consume_batch: int

    @classmethod
    def parse(cls, env: Mapping[str, str]) -> Settings:
        """Return the settings in `env` (BULLION_KAFKA and so on), or raise SettingError."""
        batch = _need(env, "BULLION_CONSUME_BATCH")
        if not batch.isdigit() or not 1 <= int(batch) <= 100_000:
            message = f"BULLION_CONSUME_BATCH is {batch!r}; allowed: 1 to 100000"
            raise SettingError(message)
        gpu, token = _need(env, "BULLION_GPU_TOPIC"), _need(env, "BULLION_TOKEN_TOPIC")
        if gpu == token:
            message = f"BULLION_GPU_TOPIC and BULLION_TOKEN_TOPIC are both {gpu!r}"
            raise SettingError(message)
        return cls(
            kafka=_need(env, "BULLION_KAFKA"),
            mongo=_need(env, "BULLION_MONGO"),
            gpu_topic=gpu,
            token_topic=token,
            database=_need(env, "BULLION_DATABASE"),
            consumer_group=_need(env, "BULLION_CONSUMER_GROUP"),
            consume_batch=int(batch),
        )

    def parameters(self) -> dict[str, str | int]:
        """Return the parameters in force, for /parameters."""
        return {
            "gpu_topic": self.gpu_topic,
            "token_topic": self.token_topic,
            "database": self.database,
            "consumer_group": self.consumer_group,
            "consume_batch": self.consume_batch,
        }


def _need(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        message = f"{name} is not set"
        raise SettingError(message)
    return value
