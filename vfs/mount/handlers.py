"""What every handler of a kernel request has around it: an answer, whatever happens inside.

Promises that an exception is answered with its errno, and one that nobody expected with EIO. Of a request it
knows only which node it is about: `atomic` hands on the inode number, or refuses a stale one.
"""

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from vfs.filesystem import FileSystem
from vfs.mount.errno_table import fuse_error
from vfs.mount.nodes import NodeIds

P = ParamSpec("P")
R = TypeVar("R")


class Serving(Protocol):
    """Whose handlers they are."""

    fs: FileSystem
    nodes: NodeIds
    waiting: int
    """Requests that wait for something at this moment."""


S = TypeVar("S", bound=Serving)


def atomic(
    function: Callable[Concatenate[S, int, P], R],
) -> Callable[Concatenate[S, int, P], Coroutine[Any, Any, R]]:
    """A handler that never waits, for the inode of the node that the request names first."""

    async def handler(self: S, node: int, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if self.nodes.renumbered:
                node = self.nodes.number(node)
            return function(self, node, *args, **kwargs)
        except Exception as error:
            raise fuse_error(error, self.fs.path_of) from None

    update_wrapper(handler, function)
    return handler


def atomic_by_node(
    function: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """A handler that never waits, and is given what the request names as it is."""

    async def handler(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(self, *args, **kwargs)
        except Exception as error:
            raise fuse_error(error, self.fs.path_of) from None

    update_wrapper(handler, function)
    return handler


def waiting(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """A handler that may wait for the disk in a thread. It is given nodes, which may become stale meanwhile:
    it asks for their numbers when it has waited."""

    async def handler(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.waiting += 1
        try:
            return await function(self, *args, **kwargs)
        except Exception as error:
            raise fuse_error(error, self.fs.path_of) from None
        finally:
            self.waiting -= 1

    update_wrapper(handler, function)
    return handler
