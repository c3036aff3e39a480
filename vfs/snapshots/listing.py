"""Snapshots as people and programs are told of them, the same for a store that is mounted or not.

Promises plain values, as JSON has them. Never changes anything.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from vfs.snapshots.policy import Policy
from vfs.snapshots.snapshotting import SnapshotFacts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_fields(facts: SnapshotFacts) -> dict[str, Any]:
    """One snapshot. `created` is UTC, to the second; `created_ns` is all that is known."""
    return {"name": facts.name, "created": utc_text(facts.created_ns), **facts._asdict()}


def list_fields(snapshots: Iterable[SnapshotFacts], exclusive: Mapping[str, int]) -> list[dict[str, Any]]:
    """All snapshots, as they come, with the bytes that only each of them holds."""
    return [{**to_fields(facts), "exclusive_bytes": exclusive.get(facts.name, 0)} for facts in snapshots]


def policy_fields(policy: Policy) -> dict[str, Any]:
    """A policy: its words, and how many are kept of each class."""
    return {"policy": str(policy), **policy._asdict()}


def utc_text(time_ns: int) -> str:
    """A time as ISO 8601 writes it."""
    return f"{(_EPOCH + timedelta(seconds=time_ns // 10**9)).replace(tzinfo=None).isoformat()}Z"
