"""Releases and AMIs to reason about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runtime.cloud.stock import Ami
from runtime.contract.roles import MACHINE_ROLES
from runtime.release.record import Release
from tests.unit.release import records

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def release(version: str, *, days: float = 100, **ids: str) -> Release:
    """Return a release that is `days` old, of AMIs named after it unless `ids` says otherwise."""
    parts = {
        role: records.part(role, ami_id=ids.get(role, f"ami-{role}-{version}"))
        for role in MACHINE_ROLES
    }
    created_at = days_ago(days).isoformat()
    return records.release(Path("ledger"), version, created_at=created_at, parts=parts)


def ami(ami_id: str, **more: Any) -> Ami:
    known: dict[str, Any] = {
        "id": ami_id,
        "name": ami_id,
        "role": "kafka",
        "key": f"key of {ami_id}",
        "release": "",
        "state": "available",
        "created_at": days_ago(100),
        "launched_at": None,
        "is_managed": True,
        "is_protected": False,
        "snapshots": (f"snap-of-{ami_id}",),
        "size_gb": 8,
    }
    return Ami(**(known | more))


def amis_of(*releases: Release, **more: Any) -> dict[str, Ami]:
    ids = {ami_id: role for one in releases for role, ami_id in one.ami_ids.items()}
    return {ami_id: ami(ami_id, role=str(role), **more) for ami_id, role in ids.items()}
