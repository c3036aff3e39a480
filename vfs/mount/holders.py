"""Which processes keep a mount busy, as far as /proc tells.

Promises to look only at names in /proc, so that a mount that hangs does not hang us. Never claims to have
found all: processes of other users stay invisible without root.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
MOST_HOLDERS = 5
"""More are not worth a line."""


class Holder(NamedTuple):
    """A process and what of it keeps the mount."""

    pid: int
    name: str
    how: str

    def __str__(self) -> str:
        return f"{self.name} ({self.pid}, {self.how})"


def find_holders(point: Path) -> list[Holder]:
    """Some of the processes that work in the mount or have a file of it open or mapped."""
    found = []
    for pid in sorted(int(name) for name in os.listdir(PROC) if name.isdigit()):
        how = _how(pid, str(point))
        if how is not None:
            found.append(Holder(pid, _name(pid), how))
            if len(found) == MOST_HOLDERS:
                break
    return found


def _how(pid: int, point: str) -> str | None:
    for path, how in _links(PROC / str(pid)):
        if path == point or path.startswith(point + "/"):
            return how
    return None


def _links(process: Path) -> Iterator[tuple[str, str]]:
    for name, how in (("cwd", "works in it"), ("root", "has its root in it"), ("exe", "runs from it")):
        yield from _target(process / name, how)
    for folder, how in (("fd", "has a file of it open"), ("map_files", "has a file of it mapped")):
        try:
            names = os.listdir(process / folder)
        except OSError:
            continue  # gone, or not ours to see
        for name in names:
            yield from _target(process / folder / name, how)


def _target(link: Path, how: str) -> Iterator[tuple[str, str]]:
    try:
        yield os.readlink(link), how
    except OSError:
        return


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text("utf-8", errors="replace").strip()
    except OSError:
        return "a process"
