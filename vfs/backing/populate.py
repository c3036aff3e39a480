"""madvise(2) and mincore(2) of a mapping, without keeping other threads from running while the disk is slow.

Promises that a range that cannot be read is an OSError. Never keeps a mapping alive: that is its owner's
affair. Python's own `mmap.madvise` holds the interpreter while it waits, so that one slow sector would stop
every thread of the daemon.
"""

import ctypes
import errno
import mmap
import os

MADV_POPULATE_READ = 22
"""Linux 5.14."""


class _PyBuffer(ctypes.Structure):
    """What the C API calls Py_buffer; part of the stable ABI since Python 3.11."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


# The C library's functions give up the interpreter while they run, those of `pythonapi` do not.
_madvise = ctypes.CDLL(None, use_errno=True).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_mincore = ctypes.CDLL(None, use_errno=True).mincore
_mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)
_release_buffer.restype = None


def address_of(mapping: mmap.mmap) -> int:
    """Where a mapping lies, valid as long as it is neither closed nor resized."""
    view = _PyBuffer()
    _get_buffer(mapping, ctypes.byref(view), 0)
    try:
        return view.buf or 0
    finally:
        _release_buffer(ctypes.byref(view))


def populate(address: int, length: int) -> bool:
    """Bring whole pages into memory, from a page's start on. False when the kernel is too old for it.

    OSError with EIO when the disk cannot read them.
    """
    while _madvise(address, length, MADV_POPULATE_READ) != 0:
        number = ctypes.get_errno()
        if number == errno.EINVAL:
            return False
        if number == errno.EFAULT:
            raise OSError(errno.EIO, "the disk cannot read this range")
        if number not in (errno.EINTR, errno.EAGAIN):
            raise OSError(number, os.strerror(number))
    return True


def are_in_memory(address: int, length: int) -> bool:
    """Whether all pages of a range are there, from a page's start on; the kernel says so, true or not, to who
    does not own the file."""
    pages = -(-length // mmap.PAGESIZE)
    told = ctypes.create_string_buffer(pages)
    return _mincore(address, length, told) == 0 and told.raw.count(1) == pages


def drop_pages(address: int, length: int) -> None:
    """Take pages of a file out of a mapping, from a page's start on; whoever looks there gets them again."""
    _madvise(address, length, mmap.MADV_DONTNEED)
