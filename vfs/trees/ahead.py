"""Reading ahead in a thread of its own, so that the disk, the hashing and the compressing work at once.

Promises the items of a source in their order, with bounded memory between the two threads, and that whoever
does not want the rest waits for nobody: a source that hangs is left to its thread.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from vfs.errors import VfsError
from vfs.trees.items import Item

HANDFUL_BYTES = 1 << 20
HANDFUL_ITEMS = 200
HANDFULS = 12
"""So much is read ahead: about 12 MiB."""

LOOK_SECONDS = 0.2


class Stopped(VfsError):
    """The work was ended by whoever asked for it."""

    def __init__(self) -> None:
        super().__init__("interrupted")


class Ahead:
    """The items of a source, read in another thread. Iterate once, and close it."""

    def __init__(self, source: Iterable[Item], stopped: Callable[[], bool]) -> None:
        # dependencies
        self._source = source
        self._stopped = stopped
        # mutable
        self._closed = False
        self._handfuls: queue.Queue[list[Item] | BaseException | None] = queue.Queue(HANDFULS)
        self._thread = threading.Thread(target=self._read, name="vfs-read", daemon=True)

    def __iter__(self) -> Iterator[Item]:
        self._thread.start()
        while True:
            try:
                handful = self._handfuls.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._stopped():
                    raise Stopped from None
                continue
            if handful is None:
                return
            if isinstance(handful, BaseException):
                raise handful
            yield from handful

    def close(self) -> None:
        """Nobody wants the rest."""
        self._closed = True

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for handful in self._in_handfuls():
                if not self._put(handful):
                    return
        except BaseException as error:
            end = error
        self._put(end)

    def _in_handfuls(self) -> Iterator[list[Item]]:
        items: list[Item] = []
        size = 0
        try:
            for item in self._source:
                items.append(item)
                if isinstance(item, bytes | memoryview):
                    size += len(item)
                if size >= HANDFUL_BYTES or len(items) >= HANDFUL_ITEMS:
                    yield items
                    items, size = [], 0
        except VfsError:
            yield items  # what came before it counts
            raise
        yield items

    def _put(self, handful: list[Item] | BaseException | None) -> bool:
        """Hand over when there is room; False when nobody wants it any more."""
        while not self._closed:
            try:
                self._handfuls.put(handful, timeout=LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False
