"""renameat2(2), which Python's library lacks: a rename that replaces nothing, or exchanges two names.

Never decides what should come of it: an error is the kernel's own, as OSError.
"""

import ctypes
import os
from pathlib import Path

AT_FDCWD = -100
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4

_libc = ctypes.CDLL(None, use_errno=True)


def renameat2(old: Path, new: Path, flags: int) -> None:
    if _libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), ctypes.c_uint(flags)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
