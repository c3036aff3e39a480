"""Memory of one process, from /proc: what it takes now, and the most of it while something runs.

Promises bytes, and nothing instead of an error once the process has ended. Never asks the process.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.05


@dataclass
class Memory:
    """`own_bytes` is RssAnon, pages that are nobody else's: mapped files are the kernel's to take back."""

    resident_bytes: int = 0
    own_bytes: int = 0


def status_bytes(pid: int, *names: str) -> dict[str, int]:
    """Fields of /proc/PID/status that are sizes; those that there are."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(fields[name].split()[0]) * 1024 for name in names if name in fields}


def memory(pid: int) -> Memory:
    """What it takes now."""
    found = status_bytes(pid, "VmRSS", "RssAnon")
    return Memory(found.get("VmRSS", 0), found.get("RssAnon", 0))


@contextmanager
def most_memory(pid: int) -> Iterator[Memory]:
    """The most that it takes while the block runs; complete when it has ended."""
    most = memory(pid)
    ended = threading.Event()

    def look() -> None:
        now = memory(pid)
        most.resident_bytes = max(most.resident_bytes, now.resident_bytes)
        most.own_bytes = max(most.own_bytes, now.own_bytes)

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()
        look()
