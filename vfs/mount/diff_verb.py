"""Comparing two states of the mounted store, beside the requests of clients.

Promises that what is now has all that programs had written when this was asked for, also what the kernel
still keeps; and that nobody waits for it: a thread compares, on one commit of the index. Never changes
anything.
"""

from collections.abc import Iterator
from typing import Any

import trio

from vfs.errors import SnapshotError
from vfs.filesystem import FileSystem
from vfs.mount.committer import Committer
from vfs.mount.control import PAGES, Progress, Verb
from vfs.mount.pages import Pages
from vfs.snapshots.diff import Difference
from vfs.snapshots.diff_report import sums, to_fields

DIFFS = 2
"""At a time; more of them wait."""

PAGE_LINES = 1000
"""Differences in one message; with the longest paths that is some 50 MB."""


class DiffVerb:
    """The verb `diff` of one mount."""

    def __init__(self, fs: FileSystem, pages: Pages, committer: Committer) -> None:
        self._fs = fs
        self._pages = pages
        self._committer = committer
        self._threads = trio.CapacityLimiter(DIFFS)

    def verbs(self) -> dict[str, Verb]:
        """It by its name."""
        return {"diff": Verb(self.diff)}

    async def diff(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """The differences between `old` and `new` as pages, and their sums; with `stat` only these."""
        fs = self._fs
        old, new = request.get("old"), request.get("new")
        if not isinstance(old, str) or not (new is None or isinstance(new, str)):
            raise SnapshotError("bad request: no words for what is to be compared")
        if fs.diff_needs_now(old, new):
            await self._pages.hand_over()
            await self._committer.checkpoint()
        plan = fs.begin_diff(old, new)
        try:
            found = await trio.to_thread.run_sync(
                fs.run_diff, plan, trio.from_thread.check_cancelled, limiter=self._threads
            )
        finally:
            fs.end_diff(plan)
        pages = iter(()) if request.get("stat") is True else _pages(found)
        return {"old": plan.old, "new": plan.new, **sums(found), PAGES: pages}


def _pages(found: list[Difference]) -> Iterator[list[dict[str, Any]]]:
    for first in range(0, len(found), PAGE_LINES):
        yield [to_fields(each) for each in found[first : first + PAGE_LINES]]
