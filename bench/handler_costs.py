"""What a metadata request costs beside the binding: `python -m bench.handler_costs [FILES [ROUNDS]]`.

Calls the handlers of the floor and of vfs in turn, in this process and without the kernel, with so many files
(2,000) so often (5). Prints for each request the least CPU time of all rounds, in µs, as rows of Markdown;
what is above the floor's is our own share. Never mounts anything.
"""

import gc
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import pyfuse3
from pyfuse3 import ROOT_INODE, EntryAttributes, ReaddirToken, RequestContext

import vfs
from bench.floor import Floor
from vfs.mount.adapter import Adapter
from vfs.mount.options import MountOptions

KERNEL_BUFFER_ENTRIES = 25
"""So many entries fit into what the kernel asks for at a time."""

FLAGS = 0o101
"""O_CREAT | O_WRONLY."""

CONTEXT = RequestContext()
Handlers = Adapter | Floor
Figures = dict[str, list[float]]


def answer(request: Coroutine[Any, Any, Any]) -> Any:
    """What a handler that never waits answers."""
    try:
        request.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("the handler waits")


def spent(count: int, work: Callable[[], object]) -> float:
    """µs of CPU for each of `count` things."""
    gc.collect()
    gc.disable()
    began = time.process_time_ns()
    work()
    taken = time.process_time_ns() - began
    gc.enable()
    return taken / 1000 / count


class Listing:
    """The binding's half of a listing: counts entries, and has room for some at a time."""

    def __init__(self) -> None:
        self.left = 0
        self.cookie = 0
        self.numbers: list[int] = []

    def reply(self, token: ReaddirToken, name: bytes, entry: EntryAttributes, cookie: int) -> bool:
        """In the place of `pyfuse3.readdir_reply`."""
        if not self.left:
            return False
        self.left -= 1
        self.cookie = cookie
        self.numbers.append(entry.st_ino)
        return True

    def run(self, handlers: Handlers, folder: int) -> None:
        """List a whole directory."""
        token = ReaddirToken()
        handle = answer(handlers.opendir(folder, CONTEXT))
        at = -1
        while at != self.cookie:
            at, self.left = self.cookie, KERNEL_BUFFER_ENTRIES
            answer(handlers.readdir(handle, self.cookie, token))
        answer(handlers.releasedir(handle))


def made(handlers: Handlers, folder: int, names: Iterable[bytes]) -> dict[bytes, int]:
    """Create files as open(2) does; their numbers by name."""
    numbers = {}
    for name in names:
        info, entry = answer(handlers.create(folder, name, 0o100644, FLAGS, CONTEXT))
        answer(handlers.release(info.fh))
        numbers[name] = entry.st_ino
    return numbers


def changes(handlers: Handlers, names: list[bytes], round_: int, figures: Figures) -> int:
    """One round of what changes names; the number of a folder that is left full of files."""
    count = len(names)

    def note(name: str, work: Callable[[], object]) -> None:
        figures.setdefault(name, []).append(spent(count, work))

    def each(handler: Callable[..., Any], *arguments: Any) -> Callable[[], None]:
        def work() -> None:
            for name in names:
                answer(handler(folder, name, *arguments, CONTEXT))

        return work

    def renamed() -> None:
        for name in names:
            answer(handlers.rename(folder, name, folder, b"new-" + name, 0, CONTEXT))

    def removed() -> None:
        for name, number in numbers.items():
            answer(handlers.unlink(folder, b"new-" + name, CONTEXT))
            answer(handlers.forget([(number, 1)]))

    folder = answer(handlers.mkdir(ROOT_INODE, b"%d" % round_, 0o40755, CONTEXT)).st_ino
    numbers: dict[bytes, int] = {}
    note("lookup of no file", each(handlers.lookup))
    note("create, release", lambda: numbers.update(made(handlers, folder, names)))
    note("checkpoint, a file", _checkpoint(handlers))
    note("lookup", each(handlers.lookup))
    note("getattr", lambda: [answer(handlers.getattr(number, CONTEXT)) for number in numbers.values()])
    answer(handlers.forget([(number, 1) for number in numbers.values()]))
    note("rename", renamed)
    note("unlink, forget", removed)
    _checkpoint(handlers)()
    folder = answer(handlers.mkdir(ROOT_INODE, b"folders%d" % round_, 0o40755, CONTEXT)).st_ino
    note("mkdir", each(handlers.mkdir, 0o40755))
    folder = answer(handlers.mkdir(ROOT_INODE, b"kept%d" % round_, 0o40755, CONTEXT)).st_ino
    made(handlers, folder, names)
    _checkpoint(handlers)()
    return int(folder)


def _checkpoint(handlers: Handlers) -> Callable[[], None]:
    return handlers.fs.checkpoint if isinstance(handlers, Adapter) else lambda: None


def looks(
    handlers: Callable[[], Handlers], names: list[bytes], folder: int, figures: Figures, when: str
) -> None:
    """One round of what looks at files of a folder that the daemon may not have in memory."""
    shuffled = random.Random(1).sample(names, len(names))
    for order, wanted in (("in order", names), ("at random", shuffled)):
        asked = handlers()
        answer(asked.lookup(ROOT_INODE, b".", CONTEXT))

        def work(asked: Handlers = asked, wanted: list[bytes] = wanted) -> None:
            for name in wanted:
                answer(asked.lookup(folder, name, CONTEXT))

        figures.setdefault(f"lookup {order}{when}", []).append(spent(len(names), work))
    asked = handlers()
    listing = Listing()
    with mock.patch.object(pyfuse3, "readdir_reply", listing.reply):
        figures.setdefault(f"readdir, an entry{when}", []).append(
            spent(len(names), lambda: listing.run(asked, folder))
        )
    if len(set(listing.numbers)) < len(names):
        raise RuntimeError("a listing is not whole")


class Served:
    """An adapter over a store that can be left and come back to."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._fs = self._opened()
        self.adapter = Adapter(self._fs, MountOptions())

    def _opened(self) -> vfs.FileSystem:
        fs = vfs.open(self._store, pack_workers=0)
        fs.autopilot = False
        return fs

    def again(self) -> Adapter:
        """A remount: nothing is in memory."""
        self._fs.close()
        self._fs = self._opened()
        self.adapter = Adapter(self._fs, MountOptions())
        return self.adapter

    def close(self) -> None:
        """Let the store go."""
        self._fs.close()


def measured(store: Path, files: int, rounds: int) -> tuple[Figures, Figures]:
    """µs of each round by request: of the floor, and of vfs."""
    names = [b"entry%06d" % number for number in range(files)]
    floor, ours = Floor(), Served(store)
    of_floor: Figures = {}
    of_ours: Figures = {}
    try:
        for round_ in range(rounds):
            folder = changes(floor, names, round_, of_floor)
            looks(lambda: floor, names, folder, of_floor, "")
            looks(lambda: floor, names, folder, of_floor, ", remounted")
            folder = changes(ours.adapter, names, round_, of_ours)
            looks(lambda: ours.adapter, names, folder, of_ours, "")
            looks(ours.again, names, folder, of_ours, ", remounted")
    finally:
        ours.close()
    return of_floor, of_ours


def main() -> None:
    """Measure and print."""
    given = [int(argument) for argument in sys.argv[1:]]
    files, rounds = (*given, *(2000, 5)[len(given) :])
    with tempfile.TemporaryDirectory() as folder:
        vfs.mkfs(Path(folder) / "store")
        of_floor, of_ours = measured(Path(folder) / "store", files, rounds)
    print("| request | floor µs | vfs µs | ours µs |\n| --- | --- | --- | --- |")
    for name, ours in of_ours.items():
        least, most = min(of_floor[name]), min(ours)
        print(f"| {name} | {least:.1f} | {most:.1f} | {most - least:.1f} |")


if __name__ == "__main__":
    main()
