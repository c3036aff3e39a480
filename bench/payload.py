"""Data to write, made once per run in memory files that the clients inherit.

Promises data that neither repeats nor compresses ("random") or compresses like prose and logs but does not
repeat in long pieces ("text"). It never touches a disk.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

from bench.sizes import MIB

KINDS = ("random", "text")
VOCABULARY_WORDS = 4000
DISTINCT_LINES = 100_000
LINES_A_PIECE = 10_000


def sequential_bytes(wanted: int) -> int:
    """`wanted`, or less on a small machine: two payloads and what the kernel caches must fit in memory."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
            return min(wanted, available // 8 // MIB * MIB)
    return wanted


def _random_pieces() -> Iterator[bytes]:
    while True:
        yield os.urandom(MIB)


def _text_pieces() -> Iterator[bytes]:
    """Lines of invented words, the common ones often, in a new order each time."""
    chance = random.Random(2026)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    weights = range(len(letters), 0, -1)
    words = [
        "".join(chance.choices(letters, weights, k=chance.randint(2, 10))) for _ in range(VOCABULARY_WORDS)
    ]
    popularity = [1 / (rank + 3) for rank in range(VOCABULARY_WORDS)]
    stream = chance.choices(words, popularity, k=DISTINCT_LINES * 12)
    lines = [
        f"{' '.join(stream[start : start + 12])} {chance.random():.6f}\n".encode()
        for start in range(0, len(stream), 12)
    ]
    while True:
        yield b"".join(chance.choices(lines, k=LINES_A_PIECE))


def make(kind: str, size_bytes: int) -> int:
    """Descriptor of a memory file with `size_bytes` of that kind, gone when its last holder closes it."""
    pieces = {"random": _random_pieces, "text": _text_pieces}[kind]()
    descriptor = os.memfd_create(f"bench-{kind}")
    left = size_bytes
    while left:
        left -= os.write(descriptor, next(pieces)[:left])
    return descriptor
