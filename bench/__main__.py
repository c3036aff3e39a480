"""`python -m bench [GROUP] ...`: one group of measurements, of speed where none is named.

Promises to clean up after itself also on ctrl-C or SIGTERM.
It never runs two groups at once: they would disturb each other.
"""

import argparse
import signal
import sys
from types import FrameType
from typing import Protocol

from rich.console import Console

from bench import (
    fsync,
    handshake,
    replay,
    requests,
    scale,
    snapshots,
    speed,
    start,
    storage,
    sustained,
    tail,
    workloads,
)


class Group(Protocol):
    """A module with a set of measurements."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def main(self, arguments: argparse.Namespace, progress: Console, output: Console) -> int: ...


GROUPS: dict[str, Group] = {
    "speed": speed,
    "requests": requests,
    "storage": storage,
    "sustained": sustained,
    "snapshots": snapshots,
    "start": start,
    "workloads": workloads,
    "replay": replay,
    "fsync": fsync,
    "scale": scale,
    "handshake": handshake,
    "tail": tail,
}


def _end(signal_number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signal_number)


def main(words: list[str]) -> int:
    name = words[0] if words and words[0] in GROUPS else "speed"
    group = GROUPS[name]
    parser = argparse.ArgumentParser(
        prog=f"python -m bench {name}",
        description=group.__doc__,
        epilog=f"groups of measurements: {', '.join(GROUPS)}; speed when none is named",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group.add_arguments(parser)
    arguments = parser.parse_args(words[1:] if words[:1] == [name] else words)
    signal.signal(signal.SIGTERM, _end)
    progress, output = Console(stderr=True, soft_wrap=True), Console()
    try:
        return group.main(arguments, progress, output)
    except KeyboardInterrupt:
        progress.print("interrupted: everything unmounted and removed")
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
