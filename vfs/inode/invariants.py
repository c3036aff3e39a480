"""What holds at any moment between an inode in memory and what hangs on it.

Promises an AssertionError where it does not; tests ask after every step. Never mends anything.
"""

from vfs.inode.directory import Directory
from vfs.inode.inode import Inode
from vfs.inode.xattrs import xattr_bytes


def check_inode(inode: Inode, charged_bytes: int) -> None:
    """Look at one inode, for which the limiter was charged so much."""
    assert not inode.dropped
    memory_bytes = xattr_bytes(inode.xattrs or {})
    if inode.file is not None:
        inode.file.check_invariants()
        assert inode.file.size == inode.size, (inode.ino, inode.file.size, inode.size)
        assert inode.file.allocated == inode.allocated
        memory_bytes += inode.file.memory_bytes
    if inode.directory is not None:
        _check_directory(inode, inode.directory)
        memory_bytes += inode.directory.memory_bytes
    assert charged_bytes == memory_bytes


def _check_directory(inode: Inode, directory: Directory) -> None:
    cookies = [entry[1] for entry in directory.names.values()]
    assert cookies == sorted(set(cookies)), f"cookies of {inode.ino} out of order"
    assert all(cookie < inode.cookie for cookie in cookies)
    assert not directory.ahead.keys() & (directory.names.keys() | directory.removed)
    if directory.complete:
        assert len(directory.names) == inode.size
        assert not directory.removed
        assert not directory.ahead
