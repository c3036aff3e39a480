"""The end of the process's file descriptors, told apart from what a disk can answer.

Promises `NoDescriptors` where the system refuses to open one file more: that says nothing of the file, and
passes. Never closes a file to make room.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from vfs.errors import NoDescriptors


@contextmanager
def told_apart(name: str) -> Iterator[None]:
    """Around what takes a descriptor for `name`; every other OSError comes as it is."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise NoDescriptors(name) from error
        raise
