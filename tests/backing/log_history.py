"""A short life of a log on a simulated disk, told step by step, and what must be true of it after any stop.

Shared by the tests of crashes and of damage. A history only appends and syncs; what it expects is the list of
all commands it tried to append, and how many of them were acknowledged and synced.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.simulated.disk import SimulatedStorage
from vfs.backing import log as log_module
from vfs.backing.log import Log, Record
from vfs.errors import NoSpace

UUID = bytes(range(16))
Step = int | str
"""Append a frame with so many bytes of data; "sync"; or "full": the disk is full for one append."""


def small_chunks(monkeypatch: pytest.MonkeyPatch, size_bytes: int = 1500) -> None:
    """Let logs roll after a few frames."""
    monkeypatch.setattr(log_module, "CHUNK_BYTES", size_bytes)


def opened(storage: Any, after_lsn: int = 0, **options: Any) -> tuple[Log, list[Record]]:
    """Open a log and replay it to its end."""
    log = Log.open(storage, UUID, after_lsn=after_lsn, **options)
    return log, list(log.replay())


def contents(records: Sequence[Record]) -> list[tuple[bytes, bytes]]:
    """Return commands and data; their LSNs must be gapless."""
    lsns = [record.lsn for record in records]
    assert lsns == list(range(lsns[0], lsns[0] + len(lsns))) if lsns else True
    return [(record.command, bytes(record.data)) for record in records]


@dataclass
class History:
    """What was done to a log, and what of it must be there."""

    name: str = "a"
    tried: list[tuple[bytes, bytes]] = field(default_factory=list)
    acknowledged: int = 0
    synced: int = 0

    def run(self, log: Log, steps: Sequence[Step]) -> None:
        """Do the steps; may be interrupted anywhere by the disk."""
        for step in steps:
            if step == "sync":
                log.sync()
                self.synced = self.acknowledged
                assert log.synced_lsn == log.last_lsn
            elif step == "full":
                self._fill_up(log)
            elif isinstance(step, int):
                number = len(self.tried)
                data = random.Random(f"{self.name}{number}").randbytes(step)
                self.tried.append((f"{self.name}{number}".encode(), data))
                log.append(*self.tried[-1])
                self.acknowledged += 1

    def _fill_up(self, log: Log) -> None:
        disk = log._storage
        assert isinstance(disk, SimulatedStorage)
        usual = disk.space_bytes
        disk.space_bytes -= disk.room() - 100
        try:
            with pytest.raises(NoSpace):
                log.append(b"refused", bytes(250))
        finally:
            disk.space_bytes = usual

    def check_after_power_cut(self, found: list[tuple[bytes, bytes]]) -> None:
        """A prefix of what was tried, with all that was synced (G2)."""
        assert found == self.tried[: len(found)]
        assert len(found) >= self.synced

    def check_after_kill(self, found: list[tuple[bytes, bytes]]) -> None:
        """All that was acknowledged, and at most one more that was on its way (G1)."""
        assert found == self.tried[: len(found)]
        assert len(found) >= self.acknowledged


def lived(steps: Sequence[Step], seed: int = 0) -> tuple[SimulatedStorage, History]:
    """Return a disk on which these steps were done, without an end of any kind, and the history."""
    storage, history = SimulatedStorage(seed), History()
    history.run(Log.create(storage, UUID), steps)
    return storage, history
