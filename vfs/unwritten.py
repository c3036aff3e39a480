"""Writing a pack: what the system says of its file becomes an error of ours.

Never says anything about the index, whose transactions tell for themselves.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from vfs.backing.log import FULL
from vfs.errors import NoSpace, PackUnwritten


@contextmanager
def unwritten(full: str = "no room for a pack; make room on the disk, or delete files") -> Iterator[None]:
    """What the system says of a pack's file, as an error of ours; `full` are the words for a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(full) from error
        raise PackUnwritten(error.strerror or str(error)) from error
