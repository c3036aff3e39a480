"""Telling the kernel what it must not believe any more, after a rollback.

Promises that when `run` returns no name, attribute or page from before shows anywhere, not even from an
answer that was on its way when the rollback happened; and that no page that was dirtied before it waits to be
written to a file that goes on. Never called in the trio thread: it waits for our answers.

Order, and why:
1. names. The kernel takes the lock of each directory for that, so whoever was told of something in it has it
   in the kernel's caches by then, where step 2 finds it.
2. what is void or has changed. The kernel writes dirty pages first (we refuse them), waits for pages that
   are being read, and unmaps them.
3. the suspects, in the same way. The first page that it writes makes one stale, and one that turned stale is
   invalidated once more: reads have brought pages back meanwhile.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyfuse3
import trio

from vfs.mount.nodes import NodeIds, Outdated
from vfs.mount.sentinel import Sentinel

log = logging.getLogger("vfs")

LOOK_SECONDS = 0.005
TAKEN_SECONDS = 30.0
"""So long it is looked again for an inode that the kernel was told of and does not know: the program that
asked for it has not been scheduled since, which may take seconds on a machine that is busy enough."""


class _Over(Exception):
    """There is no kernel to tell any more."""


class Invalidation:
    """What is to be told, once. `run` it in a worker thread of trio's; the rest is the owner's."""

    def __init__(self, outdated: Outdated, nodes: NodeIds, sentinel: Sentinel) -> None:
        self._outdated = outdated
        self._nodes = nodes
        self._sentinel = sentinel
        self._over = False

    def end(self) -> None:
        """The mount is about to go: tell nothing more."""
        self._over = True

    def run(self) -> None:
        """Tell all of it."""
        with self._sentinel as watched, _until_over():
            if not watched:
                log.debug("no sentinel: were the daemon killed now, somebody would have to abort the mount")
            for directory, name in self._outdated.names:
                self._tell(pyfuse3.invalidate_entry, directory, name)
            self._tell_inodes(self._outdated.nodes)
            for node in self._outdated.suspects:
                self._tell(pyfuse3.invalidate_inode, node)
                if not trio.from_thread.run_sync(self._nodes.cleared, node):
                    self._tell(pyfuse3.invalidate_inode, node)

    def _tell_inodes(self, nodes: Iterable[int]) -> None:
        unknown = [node for node in nodes if not self._tell(pyfuse3.invalidate_inode, node)]
        end = time.monotonic() + TAKEN_SECONDS
        while time.monotonic() < end:
            unknown = trio.from_thread.run_sync(self._nodes.unforgotten, unknown)
            if not unknown:
                return
            time.sleep(LOOK_SECONDS)
            unknown = [node for node in unknown if not self._tell(pyfuse3.invalidate_inode, node)]

    def _tell(self, what: Callable[..., None], *arguments: Any) -> bool:
        """False when the kernel does not have it in its caches."""
        if self._over:
            raise _Over
        try:
            what(*arguments)
        except FileNotFoundError:
            return False
        except OSError as error:  # it has ended the connection
            raise _Over from error
        return True


@contextmanager
def _until_over() -> Iterator[None]:
    try:
        yield
    except (_Over, trio.RunFinishedError):
        log.info("the mount goes before the kernel was told of all that a rollback changed")
