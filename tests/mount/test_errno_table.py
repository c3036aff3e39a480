"""Every error of an operation has its errno, and what is unexpected is EIO with a traceback."""

import errno
import logging

import pytest

from vfs import errors
from vfs.mount.errno_table import ERRNO, fuse_error


def leaves(kind: type[Exception]) -> list[type[Exception]]:
    below = kind.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [kind]


def test_every_operation_error_is_listed() -> None:
    assert set(leaves(errors.OperationError)) <= set(ERRNO)


def test_no_two_answers_hide_in_a_base_class() -> None:
    assert errors.OperationError not in ERRNO
    assert errors.VfsError not in ERRNO


def test_known_errors() -> None:
    assert fuse_error(errors.NoSpace()).errno == errno.ENOSPC
    assert fuse_error(errors.NoEntry("x")).errno == errno.ENOENT


def test_an_unexpected_error_leaves_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "vfs"):
        assert fuse_error(RuntimeError("a fault of ours")).errno == errno.EIO
    assert caplog.records[0].exc_info is not None


def test_damage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "vfs"):
        for _ in range(3):
            assert fuse_error(errors.ChunkDamaged(4, 640, "told once")).errno == errno.EIO
    assert [record.message for record in caplog.records] == [
        "damaged data in chunk 4 at offset 640: told once; run vfs fsck on the store"
    ]
