"""`python -m bench start`: how long commands take that do next to nothing, beside a Python that does nothing.

Promises the same commands in turn for each vfs that is named, in an order drawn anew in each round, and
prints rows of Markdown. It leaves nothing mounted and nothing behind. It never judges a figure.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console

from bench.command import EXIT_FAILED
from bench.targets import undisturbed

LIMIT_SECONDS = 60
NOTHING = "python -c pass"
COMMANDS = (
    "--version",
    "info MNT",
    "snapshot create MNT NAME",
    "info STORE",
    "import vfs",
    "mount",
    "umount",
)


class Took(NamedTuple):
    """What one command took: from its start to its end, and of it CPU, in milliseconds."""

    wall_ms: float
    cpu_ms: float


class Failed(Exception):
    """A command did not do what it should; the text is its last line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    here = str(Path(sys.executable).parent / "vfs")
    parser.add_argument("--vfs", action="append", help=f"a vfs; several are compared (default: {here})")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.set_defaults(here=here)


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    programs: list[str] = arguments.vfs or [arguments.here]
    found: dict[tuple[str, str], list[Took]] = {}
    with tempfile.TemporaryDirectory(prefix="vfs-bench-") as temporary:
        homes: dict[str, Home] = {}
        try:
            for at, program in enumerate(programs):
                homes[program] = Home(program, Path(temporary) / str(at))
            for number in range(arguments.rounds):
                progress.print(f"round {number + 1} of {arguments.rounds}")
                found.setdefault((NOTHING, NOTHING), []).append(run(sys.executable, "-c", "pass"))
                for program in random.Random(number).sample(programs, len(programs)):
                    for name, took in homes[program].round(number).items():
                        found.setdefault((program, name), []).append(took)
        except Failed as failure:
            progress.print(str(failure), markup=False)
            return EXIT_FAILED
        finally:
            with undisturbed():
                for home in homes.values():
                    home.leave()
    for line in table(programs, found):
        output.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


class Home:
    """One vfs with a store of its own. `import vfs` is of the Python beside it."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._python = str(Path(program).parent / "python")
        self._store = folder / "store"
        self._point = folder / "mnt"
        self._point.mkdir(parents=True)
        run(program, "mkfs", str(self._store))

    def round(self, number: int) -> dict[str, Took]:
        """Every command once."""
        store, point = str(self._store), str(self._point)
        took = {
            "--version": run(self._program, "--version"),
            "info STORE": run(self._program, "info", store),
            "import vfs": run(self._python, "-c", "import vfs; vfs.FileSystem"),
            "mount": run(self._program, "mount", store, point),
            "info MNT": run(self._program, "info", point),
            "snapshot create MNT NAME": run(self._program, "snapshot", "create", point, f"round{number}"),
            "umount": run(self._program, "umount", point),
        }
        return took

    def leave(self) -> None:
        """Whatever happened, nothing stays mounted."""
        if os.path.ismount(self._point):
            subprocess.run([self._program, "umount", self._point], check=False, timeout=LIMIT_SECONDS)


def run(*command: str) -> Took:
    """Run it to its end; Failed when that is not a good one. Without the CPU of a daemon that it leaves."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with process:
        assert process.stderr is not None
        said = process.stderr.read()  # ends with the process, or before it
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_ms = 1000 * (time.perf_counter() - begin)
    if process.returncode != 0:
        last = os.fsdecode(said).strip().rpartition("\n")[2]
        raise Failed(f"{' '.join(command)}: exit code {process.returncode}: {last}")
    return Took(wall_ms, 1000 * (usage.ru_utime + usage.ru_stime))


def table(programs: Sequence[str], found: dict[tuple[str, str], list[Took]]) -> list[str]:
    """Rows of Markdown: of each command the median with least and most, and the least CPU."""
    lines = [
        "| command | " + " | ".join(f"{program}, ms (CPU)" for program in programs) + " |",
        "| --- " * (len(programs) + 1) + "|",
        f"| `{NOTHING}` | " + " | ".join([cell(found[NOTHING, NOTHING])] * len(programs)) + " |",
    ]
    for name in COMMANDS:
        cells = " | ".join(cell(found[program, name]) for program in programs)
        lines.append(f"| `{name}` | {cells} |")
    return lines


def cell(times: Sequence[Took]) -> str:
    walls = [took.wall_ms for took in times]
    cpu_ms = min(took.cpu_ms for took in times)
    return f"{median(walls):.0f} [{min(walls):.0f} – {max(walls):.0f}] ({cpu_ms:.0f})"
