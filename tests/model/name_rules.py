"""Steps that make, move and remove names."""

import errno
import os
import stat
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model import drawn
from tests.model.listing import Listing
from tests.model.machine_base import MachineBase
from tests.model.node import Node
from tests.model.world import ME, outcome, renameat2
from vfs.errors import InvalidArgument
from vfs.inode.inode import Inode
from vfs.mount.errno_table import ERRNO
from vfs.numbers import tree_of


class NameRules(MachineBase):
    """lookup, mknod, mkdir, symlink, link, unlink, rmdir, rename, readdir."""

    @rule(where=drawn.existing, dots=st.sampled_from([b"", b"", b".", b".."]), remember=st.booleans())
    def lookup(self, where: drawn.Where, dots: bytes, remember: bool) -> None:
        directory, name = self.locate(where)
        name = dots or name
        found = self.world.both(
            lambda: self.fs.lookup(directory.ino, name),
            lambda: os.stat(name, dir_fd=directory.fd, follow_symlinks=False),
            any_reason=name == drawn.LONG,
        )
        if found is not None:
            inode, status = found
            node = self.world.nodes[inode.ino]
            assert node.host_ino == status.st_ino or (name == b".." and directory is self.world.root)
            if remember:
                self.fs.table.remember(inode)
                node.lookups += 1

    # --- making -----------------------------------------------------------------------------

    def _made(self, directory: Node, name: bytes, inode: Inode) -> Node:
        node = self.world.adopt(inode, directory, name)
        status = node.status()
        assert (inode.mode, inode.uid, inode.gid) == (status.st_mode, status.st_uid, status.st_gid)
        return node

    @rule(where=drawn.missing, kind=drawn.node_kinds, mode=drawn.permissions)
    def mknod(self, where: drawn.Where, kind: int, mode: int) -> None:
        directory, name = self.locate(where)
        device = os.makedev(7, 300)
        made = self.world.both(
            lambda: self.fs.mknod(directory.ino, name, kind | mode, device, ME),
            lambda: os.mknod(name, kind | mode, device, dir_fd=directory.fd),
            any_reason=name == drawn.LONG,
        )
        if made is not None:
            self._made(directory, name, made[0])

    @rule(where=drawn.missing, mode=drawn.permissions)
    def mkdir(self, where: drawn.Where, mode: int) -> None:
        directory, name = self.locate(where)

        # mkdir(2) takes the sticky bit and the permissions only; the kernel hands FUSE no more either.
        made = self.world.both(
            lambda: self.fs.mkdir(directory.ino, name, mode & 0o1777, ME),
            lambda: os.mkdir(name, mode, dir_fd=directory.fd),
            any_reason=name == drawn.LONG,
        )
        if made is not None:
            self._made(directory, name, made[0])

    @rule(where=drawn.missing, text=drawn.targets)
    def symlink(self, where: drawn.Where, text: bytes) -> None:
        directory, name = self.locate(where)
        made = self.world.both(
            lambda: self.fs.symlink(directory.ino, name, text, ME),
            lambda: os.symlink(text, name, dir_fd=directory.fd),
            any_reason=name == drawn.LONG,
        )
        if made is not None:
            self._made(directory, name, made[0])

    @rule(pick=drawn.picks, where=drawn.missing)
    def link(self, pick: int, where: drawn.Where) -> None:
        node = self.node(pick)
        directory, name = self.locate(where)
        if node.outside and not node.links:
            return  # of its names none is left in this tree, which the host cannot have
        if tree_of(node.ino) != tree_of(directory.ino):
            self._refused_across(lambda: self.fs.link(node.ino, directory.ino, name))
            return
        linked = self.world.both(
            lambda: self.fs.link(node.ino, directory.ino, name),
            lambda: os.link(node.path, name, dst_dir_fd=directory.fd, follow_symlinks=True),
            any_reason=True,
        )
        if linked is not None:
            node.links += 1
            self.world.note(node, directory)

    # --- removing ---------------------------------------------------------------------------

    @rule(
        where=drawn.existing, otherwise=st.integers(0, 5), hold=st.sampled_from(["", "", "open", "remember"])
    )
    def remove(self, where: drawn.Where, otherwise: int, hold: str) -> None:
        """unlink or rmdir of what somebody may hold; now and then the wrong one of them."""
        directory, name = self.locate(where)
        node = self.world.under(directory, name)
        if node is not None and hold:
            self._hold(node, hold)
        ours, hosts = self.fs.unlink, os.unlink
        if (node is not None and node.is_directory) != (otherwise == 0):
            ours, hosts = self.fs.rmdir, os.rmdir
        done = self.world.both(
            lambda: ours(directory.ino, name),
            lambda: hosts(name, dir_fd=directory.fd),
            any_reason=name == drawn.LONG,
        )
        if done is not None and node is not None:
            self._removed(directory, name, node)

    def _hold(self, node: Node, how: str) -> None:
        if how == "open":
            self.fs.open(node.ino)
            node.opens += 1
            return
        self.fs.table.remember(self.fs.get(node.ino))
        node.lookups += 1
        if self.fs.table.tracker.capture is None:  # so that nothing but the kernel's memory holds it
            self.before_checkpoint()
            self.fs.checkpoint()
            self.world.bounds.after_step(self.fs)

    def _removed(self, directory: Node, name: bytes, node: Node) -> None:
        if node.links > 1 or node.held:
            self.world.note(node)
        self.world.unnamed(node, directory, name)
        self.world.note(directory)

    # --- renaming ---------------------------------------------------------------------------

    @rule(where=drawn.existing, to=drawn.somewhere, flags=st.sampled_from([0, 0, 0, 1, 2, 2]))
    def rename(self, where: drawn.Where, to: drawn.Where, flags: int) -> None:
        directory, name = self.locate(where)
        other_directory, other_name = self.locate(to)
        unknown = 3 if flags == 1 else 4 << flags  # not asked of the host: to some of them it has an answer
        self.world.refused(
            lambda: self.fs.rename(directory.ino, name, other_directory.ino, other_name, unknown),
            ERRNO[InvalidArgument],
        )
        if tree_of(directory.ino) != tree_of(other_directory.ino):
            self._refused_across(
                lambda: self.fs.rename(directory.ino, name, other_directory.ino, other_name, flags)
            )
            return
        node, other = self.world.under(directory, name), self.world.under(other_directory, other_name)
        done = self.world.both(
            lambda: self.fs.rename(directory.ino, name, other_directory.ino, other_name, flags),
            lambda: renameat2(directory.fd, name, other_directory.fd, other_name, flags),
            any_reason=True,
        )
        if done is None or node is None or node is other:
            return
        self.world.entry_gone(directory, name)
        if other is not None and flags == 2:
            self.world.entry_gone(other_directory, other_name)
            self.world.note(node, other, directory, other_directory)
            return
        if other is not None:
            self._removed(other_directory, other_name, other)
        self.world.note(node, directory, other_directory)

    def _refused_across(self, ours: Callable[[], object]) -> None:
        """Several things can be wrong; that it goes from one tree into another always is."""
        assert outcome(ours)[1] in (
            *(errno.EXDEV, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EPERM),
            errno.EMLINK,
        )

    # --- listing ----------------------------------------------------------------------------

    @rule(pick=drawn.picks, limit=st.integers(1, 5))
    def begin_listing(self, pick: int, limit: int) -> None:
        directory = self.directory(pick)
        self.world.listings.append(Listing(directory.ino, directory.names(), limit))
        self._go_on(self.world.listings[-1])

    @rule(pick=drawn.picks)
    def continue_listing(self, pick: int) -> None:
        if self.world.listings:
            self._go_on(self.world.listings[pick % len(self.world.listings)])

    def _go_on(self, listing: Listing) -> None:
        node = self.world.nodes.get(listing.ino)
        rows = [] if node is None else self.fs.readdir(listing.ino, listing.cookie, listing.limit)
        if node is not None:
            names = node.names()
            for name, ino, _, kind in rows:
                if name not in (b".", b".."):
                    assert names[name] == (self.world.nodes[ino].host_ino, kind << 12)
            self.world.note(node)
        if rows:
            listing.got(rows)
            return
        self.world.listings.remove(listing)
        if node is not None:
            listing.ended()

    @rule(pick=drawn.picks, first=st.integers(0, 20), count=st.integers(1, 12), remove=st.booleans())
    def many_names(self, pick: int, first: int, count: int, remove: bool) -> None:
        """Names enough that a directory is no longer kept whole."""
        directory = self.directory(pick)
        for number in range(first, first + count):
            name = b"%d" % number
            if remove:
                self._unlink_if_there(directory, name)
            elif directory.links and self.world.under(directory, name) is None:
                self.world.make(directory, name, stat.S_IFREG | 0o644)

    def _unlink_if_there(self, directory: Node, name: bytes) -> None:
        node = self.world.under(directory, name)
        if node is not None and not node.is_directory:
            self.fs.unlink(directory.ino, name)
            os.unlink(name, dir_fd=directory.fd)
            self._removed(directory, name, node)
