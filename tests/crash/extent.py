"""How much the crash tests do: a share in every run of the tests, all of it with VFS_CRASH_SEEDS=n.

Only numbers, read once from the environment.
"""

import os
from typing import Any

SEEDS = int(os.environ.get("VFS_CRASH_SEEDS", "0"))
FIRST_SEED = int(os.environ.get("VFS_CRASH_FIRST_SEED", "0"))
LONG = SEEDS > 0

LIVES = range(FIRST_SEED, FIRST_SEED + SEEDS) if LONG else range(8)
STEPS = 150
SHARE = 1.0 if LONG else 0.15
"""Of all calls to the disk, those that something happens at."""
WAYS = 3 if LONG else 1
"""Different things that may survive one cut."""


STYLES: list[dict[str, Any]] = [
    {},
    {"cache_bytes": 32 << 10},
    {"autopilot": True},
    {"autopilot": True, "backlog_limit_bytes": 40_000},
]
"""Options of a life: roomy; with so little memory that it is shed all the time; with many checkpoints; and
with many passes as well."""


def style(seed: int) -> dict[str, Any]:
    """How the life of that seed is lived."""
    return STYLES[seed % len(STYLES)]


def tell(what: str, seed: int, **counts: int) -> None:
    """Say how much was tried; shown with `pytest -s`."""
    print(f"{what}, life {seed}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
