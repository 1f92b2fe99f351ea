"""Who is measured: how each is started, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime import proc
from runtime.settings import ROOT, Settings

HERE = Path(__file__).parent
OURS, PLAIN = "ours", "plain loop"
# Replacing by key, what is delivered again is stored once; inserting is quicker, and fails then.
CONNECT = {"Kafka Connect, replace": "ReplaceOne", "Kafka Connect, insert": "InsertOne"}
_MAVEN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a contender does: from where, to where, as which group."""

    kafka: str
    store: str
    topic: str
    group: str
    scratch: Path


def start(name: str, job: Job, settings: Settings) -> subprocess.Popen[bytes]:
    """Start a contender; its output goes to a file in the job's folder."""
    env = {
        "BULLION_KAFKA": job.kafka,
        "BULLION_MONGO": job.store,
        "BULLION_GPU_TOPIC": job.topic,
        "BULLION_TOKEN_TOPIC": f"{job.topic}-tokens",
        "BULLION_DATABASE": "telemetry",
        "BULLION_CONSUMER_GROUP": job.group,
        "BULLION_CONSUME_BATCH": "2000",
        "PYTHONPATH": f"{ROOT / 'images/processor'}:{ROOT}",
    }
    if name in CONNECT:
        return _spawn(_connect(job, settings, CONNECT[name]), {}, job)
    module = "tests.bench.pipeline.plain" if name == PLAIN else "tests.bench.pipeline.loop"
    return _spawn([sys.executable, "-m", module], env, job)


def fetch_connect(settings: Settings) -> Path:
    """Return the folder of Kafka Connect and the connector, fetched once."""
    folder = settings.cache_dir / "connect-4.3.1"
    if not folder.exists():
        new = folder.with_suffix(".new")
        for pom, where in (("connect.xml", "libs"), ("connector.xml", "plugins/mongo")):
            options = ["-DincludeScope=runtime", f"-DoutputDirectory={new / where}"]
            proc.run(["mvn", "-q", "-B", "-f", HERE / pom, _MAVEN, *options], timeout_s=900)
        new.rename(folder)
    return folder


def _connect(job: Job, settings: Settings, model: str) -> list[str]:
    """Return the command of Connect in standalone mode, at the best settings that we know of."""
    folder = fetch_connect(settings)
    worker = {
        "bootstrap.servers": job.kafka,
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "offset.storage.file.filename": str(job.scratch / "offsets"),
        "plugin.path": str(folder / "plugins"),
        "plugin.discovery": "hybrid_warn",
        "listeners": "http://127.0.0.1:0",
        "connector.client.config.override.policy": "All",
        "consumer.max.poll.records": "5000",
        "consumer.group.id": job.group,
    }
    connector = {
        "name": job.group,
        "connector.class": "com.mongodb.kafka.connect.MongoSinkConnector",
        "tasks.max": "1",
        "topics": job.topic,
        "connection.uri": job.store,
        "database": "telemetry",
        "collection": "gpu_metrics",
        "bulk.write.ordered": "false",
        "max.batch.size": "0",
        "document.id.strategy": (
            "com.mongodb.kafka.connect.sink.processor.id.strategy.KafkaMetaDataStrategy"
        ),
        "writemodel.strategy": (
            f"com.mongodb.kafka.connect.sink.writemodel.strategy.{model}DefaultStrategy"
        ),
        "consumer.override.max.poll.records": "5000",
        "consumer.override.auto.offset.reset": "earliest",
    }
    files = []
    for name, content in (("worker", worker), ("connector", connector)):
        path = job.scratch / f"{job.group}-{name}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in content.items()))
        files.append(str(path))
    classpath = f"{folder / 'libs'}/*"
    jvm = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", classpath]
    return [*jvm, "org.apache.kafka.connect.cli.ConnectStandalone", *files]


def _spawn(argv: list[str], env: Mapping[str, str], job: Job) -> subprocess.Popen[bytes]:
    with (job.scratch / f"{job.group}.log").open("wb") as out:
        return subprocess.Popen(
            argv, env=os.environ | dict(env), cwd=ROOT, stdout=out, stderr=subprocess.STDOUT
        )
