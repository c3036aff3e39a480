"""Memory of a daemon against `cache_size`: at rest, walking a large store, reading large files.

Promises fresh daemons, so that nothing of one measurement counts for the next. It never writes.
"""

import os
import random
from pathlib import Path

from bench.memory import memory, most_memory
from bench.processes import settle
from bench.scale_mount import find, forget_names
from bench.scale_part import Part
from bench.scale_sizes import MIB

PART = "memory"
IDLE_BYTES = 80 * MIB
READS_A_LOOK = 10
SLACK_BYTES = 32 * MIB
"""What a busy daemon takes whatever its cache is: SQLite's pages, rows and blocks under way, freed memory."""

KNOWN_BYTES = 3
"""For each inode that the kernel knows."""


class MemoryPart(Part):
    """Looks at a store of many files and one of huge files, which others have made."""

    def run(self, many: Path, huge: Path) -> None:
        """All of it."""
        for cache_mib in self._sizes.cache_mib:
            self._walk(many, cache_mib)
            self._read(huge, cache_mib)
            self._say(f"memory looked at with cache_size={cache_mib}M")

    def _put(self, name: str, cache_mib: int, own_bytes: int) -> None:
        curve = self._findings.curve(PART, "memory of the daemon (own)", name, "MiB", "cache_size, MiB")
        curve.points[cache_mib] = [own_bytes / MIB]

    def _walk(self, home: Path, cache_mib: int) -> None:
        with self._mounting.mounted(home, f"cache_size={cache_mib}M") as daemon:
            settle(daemon.pid)
            idle = memory(daemon.pid)
            self._put("at rest", cache_mib, idle.own_bytes)
            with most_memory(daemon.pid) as most:
                for _ in range(2):
                    find(daemon.mountpoint, "-size", "+1000000")  # which looks at the attributes of each
            self._put("most while walking twice", cache_mib, most.own_bytes)
            if forget_names(daemon.pid):
                self._put("walked, and the kernel has forgotten", cache_mib, memory(daemon.pid).own_bytes)
        what = f"with cache_size={cache_mib}M"
        self._at_most(f"idle daemon {what} (resident)", idle.resident_bytes, IDLE_BYTES)
        known = KNOWN_BYTES * self._sizes.files[-1]
        bound = idle.own_bytes + cache_mib * MIB + SLACK_BYTES + known
        self._at_most(f"walking {self._sizes.files[-1]:,} files {what} (own)", most.own_bytes, bound)

    def _read(self, home: Path, cache_mib: int) -> None:
        size = self._sizes.packed_bytes[-1]
        chance = random.Random(cache_mib)
        with self._mounting.mounted(home, f"cache_size={cache_mib}M") as daemon:
            settle(daemon.pid)
            idle = memory(daemon.pid)
            with most_memory(daemon.pid) as most:
                descriptor = os.open(daemon.mountpoint / f"packed-{size}", os.O_RDONLY)
                for _ in range(READS_A_LOOK * self._sizes.looks):
                    os.pread(descriptor, 4096, chance.randrange(size // 4096) * 4096)
                for offset in range(0, min(size, 1024 * MIB), MIB):
                    os.pread(descriptor, MIB, offset)
                os.close(descriptor)
            self._put("most while reading packed data", cache_mib, most.own_bytes)
        bound = idle.own_bytes + cache_mib * MIB + SLACK_BYTES
        self._at_most(f"reading packed data with cache_size={cache_mib}M (own)", most.own_bytes, bound)

    def _at_most(self, sentence: str, value: float, most: float) -> None:
        self._findings.at_most(PART, sentence, value / MIB, most / MIB, "MiB")
