"""How much work each workload does, for a full run, a quick look and a test of the bench itself.

Promises that rates from different sizes are comparable in kind; it never decides what is measured.
"""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Sizes:
    """Counts are per run of one workload on one target."""

    rounds: int
    files: int
    listed_folders: int
    listed_entries: int
    large_folder_entries: int
    sequential_bytes: int
    random_reads: int
    synced_appends: int
    small_appends: int
    latency_seconds: float
    mounts: int


FULL = Sizes(
    rounds=3,
    files=2000,
    listed_folders=5,
    listed_entries=1000,
    large_folder_entries=10_000,
    sequential_bytes=1024 * MIB,
    random_reads=4000,
    synced_appends=300,
    small_appends=20_000,
    latency_seconds=2.0,
    mounts=3,
)

QUICK = Sizes(
    rounds=1,
    files=400,
    listed_folders=1,
    listed_entries=1000,
    large_folder_entries=10_000,
    sequential_bytes=128 * MIB,
    random_reads=1000,
    synced_appends=60,
    small_appends=4000,
    latency_seconds=0.5,
    mounts=1,
)

TINY = Sizes(
    rounds=1,
    files=20,
    listed_folders=1,
    listed_entries=20,
    large_folder_entries=40,
    sequential_bytes=2 * MIB,
    random_reads=20,
    synced_appends=4,
    small_appends=40,
    latency_seconds=0.1,
    mounts=1,
)

BY_NAME = {"full": FULL, "quick": QUICK, "tiny": TINY}
