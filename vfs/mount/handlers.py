"""What every handler of a kernel request has around it: an answer, whatever happens inside, and its count.

Promises that an exception is answered with its errno, and one that nobody expected with EIO; and that every
request is counted with the time that it took. Of a request it knows only which node it is about: `atomic`
hands on the inode number, or refuses a stale one.
"""

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from time import perf_counter_ns
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from pyfuse3 import FUSEError

from vfs.filesystem import FileSystem
from vfs.mount.errno_table import fuse_error
from vfs.mount.nodes import NodeIds
from vfs.mount.requests import Requests

P = ParamSpec("P")
R = TypeVar("R")


class Serving(Protocol):
    """Whose handlers they are."""

    fs: FileSystem
    nodes: NodeIds
    requests: Requests
    waiting: int
    """Requests that wait for something at this moment."""


S = TypeVar("S", bound=Serving)


def _refusal(serving: Serving, name: str, error: Exception) -> FUSEError:
    """The answer to a request that failed, counted."""
    answer = fuse_error(error, serving.fs.path_of)
    serving.requests[name].failed(answer.errno)
    return answer


def atomic(
    function: Callable[Concatenate[S, int, P], R],
) -> Callable[Concatenate[S, int, P], Coroutine[Any, Any, R]]:
    """A handler that never waits, for the inode of the node that the request names first."""
    name = function.__name__

    async def handler(self: S, node: int, /, *args: P.args, **kwargs: P.kwargs) -> R:
        begin = perf_counter_ns()
        try:
            if self.nodes.renumbered:
                node = self.nodes.number(node)
            return function(self, node, *args, **kwargs)
        except Exception as error:
            raise _refusal(self, name, error) from None
        finally:
            self.requests[name].since(begin)

    update_wrapper(handler, function)
    return handler


def atomic_by_node(
    function: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """A handler that never waits, and is given what the request names as it is."""
    name = function.__name__

    async def handler(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        begin = perf_counter_ns()
        try:
            return function(self, *args, **kwargs)
        except Exception as error:
            raise _refusal(self, name, error) from None
        finally:
            self.requests[name].since(begin)

    update_wrapper(handler, function)
    return handler


def waiting(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """A handler that may wait for the disk in a thread. It is given nodes, which may become stale meanwhile:
    it asks for their numbers when it has waited."""
    name = function.__name__

    async def handler(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        begin = perf_counter_ns()
        self.waiting += 1
        try:
            return await function(self, *args, **kwargs)
        except Exception as error:
            raise _refusal(self, name, error) from None
        finally:
            self.waiting -= 1
            self.requests[name].since(begin)

    update_wrapper(handler, function)
    return handler
