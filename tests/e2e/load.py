"""Runs of the producers, of messages that each bear a name, and which of them are stored."""

from __future__ import annotations

import contextlib
import json
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.machine import stack
from runtime.verify import workflow
from runtime.verify.workflow import COLLECTIONS, Sent
from tests.contract.pipeline import GPU, TS

T = TypeVar("T")
_TOKENS = {"prompt_tokens": 1, "completion_tokens": 2, "cost_per_token": 0.1, "ts": TS}
_FIELDS = dict(zip(COLLECTIONS, ("host", "model"), strict=True))  # that bear the name
_MESSAGES = dict(zip(COLLECTIONS, (GPU | {"ts": TS}, _TOKENS), strict=True))
_WRITE = """
import json, sys
path, name, count, messages = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
with open(path, "w") as out:
    for number in range(count):
        for field, message in messages.items():
            print(json.dumps(message | {field: f"{name}-{number:05}"}), file=out)
"""
_RAW = """
import os, sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": os.environ["BULLION_KAFKA"]})
for value in sys.argv[1:]:
    producer.produce(os.environ["BULLION_GPU_TOPIC"], value)
sys.exit(producer.flush(30))
"""
_READ = """
import json, sys
from pymongo import MongoClient
env = dict(line.strip().split("=", 1) for line in open("/run/bullion/stack.env"))
client = MongoClient(env["BULLION_ADDRESS"], 27017, serverSelectionTimeoutMS=5000)
names = {}
for collection, field in json.loads(sys.argv[2]).items():
    found = client[env["BULLION_DATABASE"]][collection]
    rows = found.find({field: {"$regex": sys.argv[1]}}, {field: 1})
    names[collection] = [row[field] for row in rows]
print(json.dumps(names))
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is sent to the deployed stack; the messages with a name are for `collections`."""

    target: Target
    collections: Sequence[str] = COLLECTIONS

    def offer(self, name: str, count: int) -> list[str]:
        """Put a file of messages onto the producers' machine, `count` of a kind; return names."""
        messages = {_FIELDS[one]: _MESSAGES[one] for one in self.collections}
        words = [_WRITE, _path(name), name, str(count), json.dumps(messages)]
        producers = machines.find(self.target, Role.PRODUCERS)
        write = shlex.join(["sudo", "python3", "-c", *words])
        ssh.run(self.target, producers, [write], timeout_s=60)
        return [f"{name}-{number:05}" for number in range(count)]

    def send(self, *words: str, name: str = "") -> Sent:
        """Run the producers once, of the file that was offered by a name if there is one.

        It is patient enough for whatever is done to the stack meanwhile.
        """
        source = ["--source", _path(name)] if name else []
        produce = ["sudo", "bullion", "produce", "--delivery", "600", *words, *source]
        producers = machines.find(self.target, Role.PRODUCERS)
        said = ssh.run(self.target, producers, produce, timeout_s=900, ok=(0, 1))
        return workflow.parse_sent(said.stdout)

    def send_named(self, name: str, count: int, *pace: str) -> list[str]:
        """Offer messages and send them; return their names, all confirmed."""
        names = self.offer(name, count)
        sent = self.send(*pace, name=name)
        assert (sent.failed, sum(sent.by_topic.values())) == (0, count * len(self.collections))
        return names

    def send_raw(self, *values: str) -> None:
        """Send values as they are, as GPU measurements: what our own producers would refuse."""
        python = ["--entrypoint", "/opt/venv/bin/python", "producers", "-c", _RAW, *values]
        words = ["sudo", *stack.compose(), "run", "--rm", "--no-TTY", *python]
        producers = machines.find(self.target, Role.PRODUCERS)
        ssh.run(self.target, producers, [shlex.join(words)], timeout_s=60)

    def stored(self, prefix: str) -> dict[str, list[str]]:
        """Return {collection: the name of each document} of those that begin with `prefix`-."""
        fields = json.dumps({one: _FIELDS[one] for one in self.collections})
        mongo = machines.find(self.target, Role.MONGO)
        read = shlex.join(["sudo", "python3", "-c", _READ, f"^{prefix}-", fields])
        found = json.loads(ssh.run(self.target, mongo, [read], timeout_s=60).stdout)
        return {name: list(names) for name, names in found.items()}


@contextlib.contextmanager
def again_and_again(once: Callable[[int], T]) -> Iterator[Future[list[T]]]:
    """Do something beside the body, told how often it was done, until that ends.

    Yield what comes of it; it is there after the body.
    """
    over = threading.Event()

    def run() -> list[T]:
        done: list[T] = []
        while not over.is_set():
            done.append(once(len(done)))
        return done

    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(run)
        finally:
            over.set()


def _path(name: str) -> str:
    return f"/var/lib/bullion/messages/{name}.jsonl"
