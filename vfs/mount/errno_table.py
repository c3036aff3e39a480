"""The one table from the errors of the file system to the errno that programs see.

Promises an answer for every exception: what is not listed is a fault of ours and answers EIO, with its
traceback in the log. Never raises anything but `FUSEError`.
"""

import errno
import logging
from collections.abc import Callable

import pyfuse3

from vfs import errors
from vfs.mount.logs import tell_once
from vfs.printing import printable

log = logging.getLogger("vfs")

ERRNO: dict[type[Exception], int] = {
    errors.NoEntry: errno.ENOENT,
    errors.Stale: errno.ESTALE,
    errors.Exists: errno.EEXIST,
    errors.CrossTree: errno.EXDEV,
    errors.NotADirectory: errno.ENOTDIR,
    errors.IsADirectory: errno.EISDIR,
    errors.NotEmpty: errno.ENOTEMPTY,
    errors.NameTooLong: errno.ENAMETOOLONG,
    errors.TooManyLinks: errno.EMLINK,
    errors.InvalidArgument: errno.EINVAL,
    errors.NotPermitted: errno.EPERM,
    errors.ReadOnly: errno.EROFS,
    errors.NoSpace: errno.ENOSPC,
    errors.NoDescriptors: errno.ENFILE,
    errors.NoAttribute: errno.ENODATA,
    errors.AttributeTooLarge: errno.E2BIG,
    errors.AttributeNameTooLong: errno.ERANGE,
    errors.FileTooLarge: errno.EFBIG,
    errors.NotSupported: errno.EOPNOTSUPP,
    errors.StoreFailed: errno.EIO,
    errors.RangeLost: errno.EIO,
    errors.ChunkDamaged: errno.EIO,
    errors.PackDamaged: errno.EIO,
    errors.IndexDamaged: errno.EIO,
}

LOGGED = (errors.StoreFailed, errors.NoDescriptors, errors.DataDamaged, errors.IndexDamaged)
"""Answers that the owner of the store must hear of, beside the program that got EIO; each text once."""


def fuse_error(
    error: Exception, path_of: Callable[[int], bytes | None] = lambda ino: None
) -> pyfuse3.FUSEError:
    """The answer to the kernel for an error of an operation; `path_of` an inode, for the log."""
    if isinstance(error, pyfuse3.FUSEError):
        return error
    number = ERRNO.get(type(error))
    if number is None:
        log.error("unexpected error in a request, answered with EIO", exc_info=error)
        return pyfuse3.FUSEError(errno.EIO)
    if isinstance(error, LOGGED):
        path = path_of(error.ino) if isinstance(error, errors.RangeLost) else None
        tell_once(f"{error}" if path is None else f"{printable(path)}: {error}")
    return pyfuse3.FUSEError(number)
