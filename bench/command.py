"""What the commands of the bench share: where stores and results go, how noisy the machine is, drawing.

Promises that every group takes the same options for these. It never measures anything.
"""

import argparse
import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.processes import filesystem_type
from bench.targets import default_program

RESULTS = Path(__file__).parent / "results"

QUIET_LOAD = 0.5
"""Load average above which something else runs on the machine."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SHORT = 3


def add_place(parser: argparse.ArgumentParser, json: Path, plot: Path | None = None) -> None:
    """Options for the places of stores, program and results."""
    parser.add_argument(
        "--store-dir", type=Path, help="existing folder for stores (default: a temporary one on disk)"
    )
    parser.add_argument("--vfs", default=default_program(), help="the vfs program (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=json)
    if plot is not None:
        parser.add_argument("--plot", type=Path, default=plot)


def store_parent(wanted: Path | None) -> Path:
    """A folder on a real disk: figures of a store in memory would say nothing."""
    if wanted is not None:
        return wanted
    for candidate in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()):
        if os.access(candidate, os.W_OK) and filesystem_type(str(candidate)) not in ("tmpfs", "ramfs"):
            return candidate
    return Path.cwd()


def load_before(console: Console) -> float:
    """Load average of the machine now, said aloud when it is not at rest."""
    load = os.getloadavg()[0]
    if load > QUIET_LOAD:
        console.print(f"the machine is not idle (load {load:.1f}): expect wide spreads", markup=False)
    return load


def draw(console: Console, path: Path, module: str, *what: Any) -> None:
    """Let `write_plot` of a module draw into `path`; matplotlib is large and may be missing."""
    try:
        write_plot = importlib.import_module(module).write_plot
    except ImportError as error:
        console.print(f"no plot: {error}", markup=False)
        return
    write_plot(path, *what)
    console.print(f"plot: {path}", markup=False)
