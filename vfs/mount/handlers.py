"""What every handler of a kernel request has around it: an answer, whatever happens inside.

Promises that an exception is answered with its errno, and one that nobody expected with EIO. Never looks into
a request.
"""

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from vfs.filesystem import FileSystem
from vfs.mount.errno_table import fuse_error

P = ParamSpec("P")
R = TypeVar("R")


class Serving(Protocol):
    """Whose handlers they are."""

    fs: FileSystem
    waiting: int
    """Requests that wait for something at this moment."""


S = TypeVar("S", bound=Serving)


def atomic(
    function: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """A handler that never waits."""

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
    """A handler that may wait for the disk in a thread."""

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
