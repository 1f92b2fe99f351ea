"""Kafka → MongoDB: every message stored once, poison set aside, an outage waited out."""
