"""The files a stack starts with, out of what the machine knows; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from runtime.contract import ports
from runtime.contract.parameters import Value
from runtime.contract.roles import Role

CONTROLLER = 9093


def render(
    role: Role, *, address: str, peers: Mapping[Role, str], parameters: Mapping[str, Value]
) -> dict[str, str]:
    """Return {file name below /run/bullion: content}.

    Args:
        role: the machine's role.
        address: its own private IPv4 address.
        peers: {role: IPv4 address} of the others it must know.
        parameters: the values in force.
    """
    files: dict[str, str] = {}
    variables = {"BULLION_ADDRESS": address}
    variables |= {f"BULLION_{name.upper()}": str(value) for name, value in parameters.items()}
    if Role.KAFKA in peers:
        variables["BULLION_KAFKA"] = f"{peers[Role.KAFKA]}:{ports.KAFKA}"
    if Role.MONGO in peers:
        variables["BULLION_MONGO"] = f"mongodb://{peers[Role.MONGO]}:{ports.MONGO}"
    if role is Role.KAFKA:
        files["server.properties"] = server_properties(address, parameters)
        # Compose recreates a container for a changed variable, not for a changed file.
        digest = hashlib.sha256(files["server.properties"].encode()).hexdigest()
        variables["BULLION_CONFIG"] = digest[:16]
    files["stack.env"] = "".join(f"{name}={value}\n" for name, value in sorted(variables.items()))
    return files


def server_properties(address: str, parameters: Mapping[str, Value]) -> str:
    """Return Kafka's configuration: one node, broker and controller, advertised at `address`."""
    values = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://0.0.0.0:{ports.KAFKA},CONTROLLER://127.0.0.1:{CONTROLLER}",
        # Clients follow the advertised address, not the one they dialled.
        "advertised.listeners": f"PLAINTEXT://{address}:{ports.KAFKA}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        # On loopback: a change of the machine's address cannot break the quorum.
        "controller.quorum.voters": f"1@127.0.0.1:{CONTROLLER}",
        "log.dirs": "/var/lib/kafka/data",
        "num.partitions": parameters["topic_partitions"],
        "auto.create.topics.enable": "false",
        # One broker: Kafka's own topics can have one replica only.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # A message is confirmed once the disk has it: of one broker nobody else has a copy. It is
        # looked at once per batch of a producer, so it costs a batch one sync, not a message.
        "log.flush.interval.messages": parameters["kafka_flush_messages"],
        "group.initial.rebalance.delay.ms": 0,
        # A consumer that was killed keeps its partitions for so long: 10 s instead of 45.
        "group.consumer.min.session.timeout.ms": 10000,
        "group.consumer.session.timeout.ms": 10000,
        "group.consumer.min.heartbeat.interval.ms": 1000,
        "group.consumer.heartbeat.interval.ms": 2000,
        # After a kill the broker waits for its own old session: 3 s instead of 9.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.retention.hours": 168,
        "log.segment.bytes": 268435456,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
