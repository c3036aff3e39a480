"""What each layer of vfs takes of one operation, without a kernel: the layers are called one by one.

Promises that what is called is what the daemon calls, on a store on the disk, with the changes and answers of
the real operation; that time is CPU time of this process, the kernel's part included, the median of passes
in which the layers take turns. It never mounts anything.

The handlers of an operation are called as the binding calls them; then only what they call of the
`FileSystem`, then only the making of answers. What was appended to the log meanwhile is appended once more to
the log of another store. The adapter's share is what is left of the handlers without the two others, the
FileSystem's what is left without the log.
"""

import gc
import os
import statistics
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import process_time_ns
from typing import Any, Protocol
from unittest.mock import patch

import vfs
from vfs.backing.log import Place
from vfs.limits import ROOT_INO
from vfs.mount.adapter import Adapter
from vfs.mount.answers import Answers
from vfs.mount.options import MountOptions
from vfs.namespace import Caller

PIECE = os.urandom(4096)
LISTED = 1000
TIMEOUT_SECONDS = 86400.0
CALLER = Caller(os.getuid(), os.getgid())


@dataclass(frozen=True)
class Layers:
    """Microseconds of one operation."""

    adapter: float
    filesystem: float
    log: float
    reply: float
    later: float
    """Of the checkpoint that follows: not in the operation, but on the same CPU at last."""

    @property
    def ours(self) -> float:
        """All that is done before the operation is answered."""
        return self.adapter + self.filesystem + self.log + self.reply


class Harness:
    """An adapter over a store, and the log of another one."""

    def __init__(self, fs: vfs.FileSystem, scratch: vfs.FileSystem) -> None:
        for each in (fs, scratch):
            each.autopilot = False
        self.fs = fs
        self.scratch = scratch
        self.adapter = Adapter(fs, MountOptions(noxattr=True))
        self.answers = Answers(fs, self.adapter.nodes, TIMEOUT_SECONDS)
        self.context: Any = _Context()
        self._numbers = iter(range(10**9))

    def new_folder(self) -> int:
        """An empty directory; its inode number."""
        return self.fs.mkdir(ROOT_INO, b"folder-%d" % next(self._numbers), 0o755, CALLER).ino

    def files(self, folder: int, count: int) -> list[int]:
        """So many files that the kernel has been told of; their inode numbers."""
        made = [self.fs.mknod(folder, name, 0o100644, 0, CALLER) for name in names(count)]
        for inode in made:
            self.answers.told(inode)
        return [inode.ino for inode in made]


class _Context:
    """What a handler sees of whoever asks."""

    uid, gid, pid, umask = os.getuid(), os.getgid(), os.getpid(), 0o022


def names(count: int) -> list[bytes]:
    """As those of the mounted workloads."""
    return [b"entry%06d" % number for number in range(count)]


class Steps(Protocol):
    """One operation, of which `count` are done by each call of a layer, after a `prepare` for each."""

    def prepare(self, harness: Harness, count: int) -> None: ...

    def warm(self) -> None:
        """Bring back into the page cache what the checkpoint's sync may have dropped from it."""

    async def handlers(self) -> None:
        """All of it, as the kernel asks for it."""

    def core(self) -> None:
        """What the handlers call of the file system."""

    def replies(self) -> None:
        """The answers that they make."""

    def own(self) -> None:
        """What the handlers only do because they are measured."""


class Measuring:
    """Passes over the layers of one operation."""

    def __init__(self, harness: Harness, steps: Steps, count: int) -> None:
        self._harness = harness
        self._steps = steps
        self._count = count
        self._appended: list[tuple[bytes, Any]] = []
        self._samples: list[Layers] = []

    def run(self, passes: int) -> Layers:
        """The median of all passes, layer by layer."""
        with quietly():
            self._record()
            for _ in range(passes):
                self._samples.append(self._pass())
        columns = zip(
            *((s.adapter, s.filesystem, s.log, s.reply, s.later) for s in self._samples), strict=True
        )
        return Layers(*(max(0.0, statistics.median(column)) for column in columns))

    def _record(self) -> None:
        """What one pass appends to the log, if each operation does (an access time is noted once)."""
        real, appended = self._harness.fs.log.append, self._appended

        def append(command: bytes, data: Any = b"") -> Place:
            appended.append((command, data))
            return real(command, data)

        self._prepare()
        with patch.object(self._harness.fs.log, "append", append):
            self._steps.core()
        if len(appended) < self._count:
            appended.clear()

    def _prepare(self) -> None:
        self._steps.prepare(self._harness, self._count)
        self._harness.fs.checkpoint()
        self._steps.warm()

    def _pass(self) -> Layers:
        self._prepare()
        handlers = self._microseconds(lambda: complete(self._steps.handlers()))
        later = self._microseconds(self._harness.fs.checkpoint)
        self._prepare()
        core = self._microseconds(self._steps.core)
        replies = self._microseconds(self._steps.replies)
        handlers -= self._microseconds(self._steps.own)
        log = self._microseconds(self._append) if self._appended else 0.0
        return Layers(handlers - core - replies, core - log, log, replies, later if self._appended else 0.0)

    def _append(self) -> None:
        append = self._harness.scratch.log.append
        for command, data in self._appended:
            append(command, data)

    def _microseconds(self, work: Callable[[], object]) -> float:
        begin = process_time_ns()
        work()
        return (process_time_ns() - begin) / self._count / 1e3


def complete(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what never waits for anything to its end."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("a handler waits for something: this is no measure of it")


@contextmanager
def quietly() -> Iterator[None]:
    """No collection of garbage, and one CPU, so that nothing moves to another one's caches."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(everywhere)})
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        os.sched_setaffinity(0, everywhere)


@contextmanager
def harness(folder: Path) -> Iterator[Harness]:
    """Two new stores in a folder, closed at the end."""
    for name in ("store", "scratch"):
        vfs.mkfs(folder / name)
    with vfs.open(folder / "store") as fs, vfs.open(folder / "scratch") as scratch:
        yield Harness(fs, scratch)


class Page:
    """Takes the entries of a listing in place of the kernel's buffer, which holds so many."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._room = 0
        self.cookie = 0  # of the last entry taken

    def __call__(self, token: object, name: bytes, entry: object, cookie: int) -> bool:
        if not self._room:
            return False
        self._room -= 1
        self.cookie = cookie
        return True

    def turn(self) -> None:
        """The kernel asks for more."""
        self._room = self._entries
