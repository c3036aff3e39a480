"""What is said of a life that failed: what it broke, its short script, the one command that replays it."""

import os
import tempfile
from pathlib import Path

from tests.simulation.lives import LifeFailed
from tests.simulation.shrink import shrink

FOLDER = os.environ.get("VFS_CRASH_SCRIPTS")
"""Where shrunk scripts are written (`tests/simulation/regressions` keeps them); else a temporary folder."""


def report(failed: LifeFailed) -> str:
    """Shrink, write the script, and say it all in a few lines."""
    short = shrink(failed)
    folder = Path(FOLDER or tempfile.mkdtemp(prefix="vfs-life-"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"life-{short.seed}-{failed.failure.kind.replace(' ', '-').lower()}.json"
    short.write(path)
    return (
        f"{failed}\n{len(failed.script.steps)} steps, of which {len(short.steps)} suffice: {path}\n"
        f"replay: python -m tests.simulation {short.seed}  or  python -m tests.simulation {path}"
    )
