"""What it costs a request to be counted: a handler as the daemon has it, and the same without the counters.

Promises both in turn, CPU time of this process, the difference by pass. It never mounts anything.
"""

import statistics
from collections.abc import Callable, Coroutine
from time import process_time_ns
from typing import Any

from bench.layers import Harness, complete, quietly
from bench.results import Spread
from vfs.limits import ROOT_INO
from vfs.mount.adapter import Adapter
from vfs.mount.errno_table import fuse_error
from vfs.mount.handlers import atomic

Handler = Callable[[Adapter, int], Coroutine[Any, Any, int]]


def _answer(adapter: Adapter, inode: int) -> int:
    return inode


async def _uncounted(self: Adapter, node: int, /, *args: Any, **kwargs: Any) -> int:
    """What `atomic` makes of it, but for the counting."""
    try:
        if self.nodes.renumbered:
            node = self.nodes.number(node)
        return _answer(self, node, *args, **kwargs)
    except Exception as error:
        raise fuse_error(error, self.fs.path_of) from None


def counting_us(harness: Harness, count: int, passes: int) -> Spread:
    """Microseconds that counting adds to a request."""
    counted: Handler = atomic(_answer)
    differences = []
    with quietly():
        for _ in range(passes):
            both = [_us(handler, harness.adapter, count) for handler in (_uncounted, counted)]
            differences.append(both[1] - both[0])
    return Spread(statistics.median(differences), min(differences), max(differences))


def _us(handler: Handler, adapter: Adapter, count: int) -> float:
    async def ask() -> None:
        for _ in range(count):
            await handler(adapter, ROOT_INO)

    begin = process_time_ns()
    complete(ask())
    return (process_time_ns() - begin) / count / 1e3
