"""One thing to do with a store: by its daemon where it is mounted, else with the library.

Promises the same result either way, with the store's path in it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import vfs
from vfs.cli.output import OnProgress
from vfs.cli.target import find_target

Work = Callable[["vfs.FileSystem"], dict[str, Any]]


def either(
    target: Path,
    verb: str,
    work: Work,
    /,
    *,
    read_only: bool = False,
    on_progress: OnProgress | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Ask the daemon for a verb with arguments, or do that work on the store; what came of it."""
    store, daemon = find_target(target)
    if daemon is not None:
        with daemon:
            return {"store": str(store), **daemon.ask(verb, on_progress, **arguments)}
    with vfs.open(store, read_only=read_only) as fs:
        return {"store": str(store), **work(fs)}
