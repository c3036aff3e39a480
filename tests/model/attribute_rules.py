"""Steps that change attributes and hold inodes."""

import os
import stat

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model import drawn
from tests.model.machine_base import MachineBase
from tests.model.node import Node
from tests.model.world import outcome
from vfs.errors import AttributeNameTooLong, AttributeTooLarge, IsADirectory, NoEntry, NotSupported
from vfs.mount.errno_table import ERRNO


class AttributeRules(MachineBase):
    """Mode, owner, times, extended attributes; open, release, forget."""

    @rule(pick=drawn.picks, mode=drawn.permissions)
    def chmod(self, pick: int, mode: int) -> None:
        node = self.node(pick)
        if not stat.S_ISLNK(node.kind):
            self.fs.set_attributes(node.ino, mode=mode)
            os.chmod(node.path, mode)
            self.world.note(node)

    @rule(pick=drawn.picks, uid=st.none() | drawn.owners, gid=st.none() | drawn.groups)
    def chown(self, pick: int, uid: int | None, gid: int | None) -> None:
        node = self.node(pick)
        if uid is None and gid is None:
            return
        self.fs.set_attributes(node.ino, uid=uid, gid=gid)
        os.chown(node.path, -1 if uid is None else uid, -1 if gid is None else gid)
        self.world.note(node)

    @rule(pick=drawn.picks, atime=drawn.moments, mtime=drawn.moments)
    def utimens(self, pick: int, atime: int, mtime: int) -> None:
        node = self.node(pick)
        self.fs.set_attributes(node.ino, atime_ns=atime, mtime_ns=mtime)
        os.utime(node.path, ns=(atime, mtime))
        inode = self.fs.get(node.ino)
        assert (inode.atime_ns, inode.mtime_ns) == (atime, mtime)
        node.times = node.times._replace(mtime=mtime)  # it may have been that already, on one side
        node.host_times = node.host_times._replace(mtime=node.status().st_mtime_ns)
        self.world.note(node)

    @rule(
        pick=drawn.picks,
        name=drawn.xattr_names,
        value=st.none() | drawn.xattr_values,
        flags=drawn.xattr_flags,
    )
    def xattr(self, pick: int, name: bytes, value: bytes | None, flags: int) -> None:
        """Set one, or remove it; and look at it before and after."""
        node = self.node(pick)
        if not (node.is_file or node.is_directory):
            return
        self._look_at_xattr(node, name)
        if value is None:
            done = self.world.both(
                lambda: self.fs.remove_xattr(node.ino, name), lambda: os.removexattr(node.path, name)
            )
            if done is not None:
                del node.xattrs[name]
        else:
            done = self.world.both(
                lambda: self.fs.set_xattr(node.ino, name, value, flags),
                lambda: os.setxattr(node.path, name, value, flags),
            )
            if done is not None:
                node.xattrs[name] = value
        self.world.note(node, exact=False)  # a host may skip a value that is there already
        self._look_at_xattr(node, name)

    def _look_at_xattr(self, node: Node, name: bytes) -> None:
        found = self.world.both(
            lambda: self.fs.get_xattr(node.ino, name), lambda: os.getxattr(node.path, name)
        )
        assert found is None or found[0] == found[1] == node.xattrs[name]
        assert self.fs.list_xattrs(node.ino) == sorted(node.xattrs)

    @rule(pick=drawn.picks, length=st.sampled_from([4000, 65536]))
    def large_xattr(self, pick: int, length: int) -> None:
        """Larger than many file systems of a host take, and what none takes."""
        node = self.node(pick)
        name, value = b"security.large", bytes([length % 251]) * length
        self.fs.set_xattr(node.ino, name, value)
        node.xattrs[name] = value
        self.world.note(node, exact=False)
        for wrong_name, wrong_value, error in (
            (name, bytes(65537), AttributeTooLarge),
            (b"system.x", b"", NotSupported),
            (b"user." + b"x" * 251, b"", AttributeNameTooLong),
        ):
            self._refused_xattr(node, wrong_name, wrong_value, error)

    def _refused_xattr(self, node: Node, name: bytes, value: bytes, error: type[Exception]) -> None:
        self.world.refused(lambda: self.fs.set_xattr(node.ino, name, value), ERRNO[error])

    # --- holding ----------------------------------------------------------------------------

    @rule(pick=drawn.picks, truncate=st.booleans(), writing=st.booleans())
    def open(self, pick: int, truncate: bool, writing: bool) -> None:
        node = self.node(pick)
        flags = (os.O_TRUNC if truncate else 0) | (os.O_RDWR if writing else os.O_RDONLY)
        if node.is_directory and flags:
            self.world.refused(lambda: self.fs.open(node.ino, flags), ERRNO[IsADirectory])
            return
        self.fs.open(node.ino, flags)
        node.opens += 1
        if truncate and node.is_file:
            os.truncate(node.data_fd, 0)
            os.chmod(node.path, stat.S_IMODE(self.fs.get(node.ino).mode))
            node.ranges.remove(0, 1 << 62)
            self.world.note(node, exact=False)

    @rule(pick=drawn.picks)
    def release(self, pick: int) -> None:
        node = self.node(pick)
        if node.opens:
            self.fs.release(node.ino)
            node.opens -= 1
            self.world.release_if_gone(node)
        else:
            assert outcome(lambda: self.fs.release(node.ino))[1] == ERRNO[NoEntry]

    @rule(pick=drawn.picks, count=st.integers(1, 3))
    def forget(self, pick: int, count: int) -> None:
        node = self.node(pick)
        count = min(count, node.lookups)
        if count:
            self.fs.table.forget(node.ino, count)
            node.lookups -= count
            self.world.release_if_gone(node)
