"""What a plain demo does: poll one message, parse it, insert it, commit now and then."""

from __future__ import annotations

import json
import os

from confluent_kafka import Consumer
from pymongo import MongoClient


def main() -> None:
    """Go on until ended."""
    topic = os.environ["BULLION_GPU_TOPIC"]
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BULLION_KAFKA"],
            "group.id": os.environ["BULLION_CONSUMER_GROUP"],
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    collection = MongoClient(os.environ["BULLION_MONGO"])["telemetry"]["gpu_metrics"]
    while True:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            collection.insert_one(json.loads(message.value()))


if __name__ == "__main__":
    main()
