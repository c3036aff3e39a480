"""What a daemon takes: memory of its own, descriptors, threads; now, and the most of it while something runs.

Memory is RssAnon: pages that are nobody else's. Mapped files are left out, since the kernel takes those back
when it wants to. Never asks the daemon, only /proc.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

MIB = 1 << 20
SAMPLE_SECONDS = 0.1


@dataclass
class Vitals:
    memory_bytes: int = 0
    descriptors: int = 0
    threads: int = 0

    def __str__(self) -> str:
        return f"{self.memory_bytes / MIB:.1f} MiB, {self.descriptors} descriptors, {self.threads} threads"


def vitals(pid: int) -> Vitals:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    memory = int(fields["RssAnon"].split()[0]) * 1024
    return Vitals(memory, len(os.listdir(f"/proc/{pid}/fd")), int(fields["Threads"]))


@contextmanager
def watched(pid: int) -> Iterator[Vitals]:
    """The most of each while the block runs; complete when it has ended."""
    most = vitals(pid)
    ended = threading.Event()

    def look() -> None:
        now = vitals(pid)
        most.memory_bytes, most.descriptors, most.threads = map(max, astuple(most), astuple(now))

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
        look()
    finally:
        ended.set()
        thread.join()
