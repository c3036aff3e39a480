"""Steps that change or read what files hold."""

import os
import random
import stat

from hypothesis.stateful import rule

from tests.model import drawn
from tests.model.machine_base import MachineBase
from tests.model.node import Node
from vfs.contents import without_privileges
from vfs.errors import InvalidArgument, IsADirectory
from vfs.mount.errno_table import ERRNO


class ContentRules(MachineBase):
    """Write, truncate, punch, allocate, clone, read, seek."""

    def _changed(self, node: Node) -> None:
        """The host lets root keep the set-id bits of a file that it writes; a mount of FUSE does not."""
        mode = without_privileges(node.status().st_mode)
        if mode != node.status().st_mode:
            os.chmod(node.path, stat.S_IMODE(mode))
        self.world.note(node)
        inode = self.fs.get(node.ino)
        assert (inode.mode, inode.size) == (mode, node.size())
        assert inode.allocated == node.ranges.total_bytes

    @rule(pick=drawn.picks, spot=drawn.spots, data=drawn.data)
    def write(self, pick: int, spot: drawn.Spot, data: drawn.Data) -> None:
        node = self.file(pick)
        if node is None:
            return
        content = data.make()
        self.world.write(node, spot.of(node), content)
        if content:
            self._changed(node)

    @rule(pick=drawn.picks, data=drawn.short_data, times=drawn.picks)
    def append_often(self, pick: int, data: drawn.Data, times: int) -> None:
        node = self.file(pick)
        if node is None:
            return
        content = data.make()
        for _ in range(times):
            self.world.write(node, node.size(), content)
        if times:
            self._changed(node)

    @rule(pick=drawn.picks, spot=drawn.spots)
    def truncate(self, pick: int, spot: drawn.Spot) -> None:
        node = self.file(pick)
        if node is None or (size := spot.of(node)) == node.size():
            return  # whether that touches a time is up to the file system
        self.fs.truncate(node.ino, size)
        os.truncate(node.data_fd, size)
        node.ranges.remove(size, 1 << 62)
        self._changed(node)

    @rule(pick=drawn.picks, spot=drawn.spots, length=drawn.lengths)
    def punch(self, pick: int, spot: drawn.Spot, length: int) -> None:
        node = self.file(pick)
        if node is None:
            return
        offset = spot.of(node)
        if length == 0:
            self.world.refused(lambda: self.fs.punch(node.ino, offset, length), ERRNO[InvalidArgument])
            return
        self.fs.punch(node.ino, offset, length)
        stop = min(offset + length, node.size())
        if offset < stop:
            self._overwrite_on_host(node, offset, b"", stop)
            self._changed(node)

    @rule(
        pick=drawn.picks,
        spot=drawn.spots,
        length=drawn.lengths,
        keep_size=drawn.picks.map(lambda n: n % 2 == 0),
    )
    def allocate(self, pick: int, spot: drawn.Spot, length: int, keep_size: bool) -> None:
        node = self.file(pick)
        if node is None or length == 0:
            return
        offset = spot.of(node)
        self.fs.allocate(node.ino, offset, length, keep_size=keep_size)
        if not keep_size and offset + length > node.size():
            os.truncate(node.data_fd, offset + length)
            self._changed(node)

    @rule(pick=drawn.picks, spot=drawn.spots, length=drawn.lengths, other=drawn.picks, to_spot=drawn.spots)
    def clone_range(self, pick: int, spot: drawn.Spot, length: int, other: int, to_spot: drawn.Spot) -> None:
        source, sink = self.file(pick), self.file(other)
        if source is None or sink is None:
            return
        offset, to = spot.of(source), to_spot.of(sink)
        stop = min(offset + length, source.size())

        def clone() -> int:
            return self.fs.clone_range(source.ino, offset, length, sink.ino, to)

        if offset >= stop:
            assert clone() == 0
            return
        if source is sink and abs(offset - to) < stop - offset:
            self.world.refused(clone, ERRNO[InvalidArgument])
            return
        assert clone() == stop - offset
        parts = source.ranges.within(offset, stop)
        copies = [(low, os.pread(source.data_fd, high - low, low)) for low, high in parts]
        self._overwrite_on_host(sink, to, b"", to + stop - offset)
        for low, copied in copies:
            os.pwrite(sink.data_fd, copied, to + low - offset)
            sink.ranges.add(to + low - offset, to + low - offset + len(copied))
        self._changed(sink)

    def _overwrite_on_host(self, node: Node, start: int, data: bytes, stop: int) -> None:
        """Zeros on the host from `start` to `stop`, without writing much."""
        for low, high in node.ranges.within(start, stop):
            os.pwrite(node.data_fd, bytes(high - low), low)
        if stop > node.size():
            os.truncate(node.data_fd, stop)
        else:
            os.pwrite(node.data_fd, os.pread(node.data_fd, 1, stop - 1), stop - 1)  # stamps the times
        node.ranges.remove(start, stop)

    @rule(pick=drawn.picks, spot=drawn.spots, length=drawn.lengths)
    def read(self, pick: int, spot: drawn.Spot, length: int) -> None:
        node = self.node(pick)
        offset = spot.of(node)
        if not node.is_file:
            wrong = IsADirectory if node.is_directory else InvalidArgument
            self.world.refused(lambda: self.fs.read(node.ino, offset, length), ERRNO[wrong])
            self.world.refused(lambda: self.fs.write(node.ino, offset, b"x"), ERRNO[wrong])
            self.world.refused(lambda: self.fs.truncate(node.ino, 0), ERRNO[wrong])
            return
        length = min(length, 1 << 20)
        data = bytes(self.fs.read(node.ino, offset, length))
        assert data == os.pread(node.data_fd, length, offset)
        resident = self.fs.read_resident(node.ino, offset, length)
        assert resident is None or bytes(resident) == data
        self.world.note(node)

    @rule(pick=drawn.picks, spot=drawn.spots, length=drawn.lengths)
    def begin_read(self, pick: int, spot: drawn.Spot, length: int) -> None:
        """As a daemon does: the plan is run in another thread, while other operations go on."""
        node = self.file(pick)
        if node is not None and len(self.world.reads) < 2:
            offset, length = spot.of(node), min(length, 1 << 20)
            plan = self.fs.begin_read(node.ino, offset, length)
            self.world.reads.append((plan, os.pread(node.data_fd, length, offset)))
            self.world.note(node)

    @rule()
    def read_across_a_checkpoint(self) -> None:
        """A plan of bytes whose chunks nothing else needs by the time it is run."""
        length = 3 * self.world.bounds.chunk_bytes
        if length <= 1 << 20 and self.fs.table.tracker.capture is None:
            data = random.Random(length).randbytes(length)
            node = self.world.make(self.world.root, b"filler", stat.S_IFREG | 0o600)
            self.world.write(node, 0, data)
            self.before_checkpoint()
            self.fs.checkpoint()
            plan = self.fs.begin_read(node.ino, 0, length)
            self.fs.unlink(self.world.root.ino, b"filler")
            os.unlink(b"filler", dir_fd=self.world.root.fd)
            self.world.unnamed(node, self.world.root, b"filler")
            self.world.note(self.world.root)
            self.fs.checkpoint()
            assert bytes(self.fs.run_read(plan)) == data
            self.fs.end_read(plan)

    @rule()
    def end_read(self) -> None:
        if self.world.reads:
            plan, expected = self.world.reads.pop(0)
            assert bytes(self.fs.run_read(plan)) == expected, "a plan shows the moment at which it was made"
            self.fs.end_read(plan)

    @rule(pick=drawn.picks, spot=drawn.spots)
    def seek(self, pick: int, spot: drawn.Spot) -> None:
        node = self.file(pick)
        if node is not None:
            offset = spot.of(node)
            expected = node.ranges.seek_data(offset) if offset < node.size() else None
            assert self.fs.seek_data(node.ino, offset) == expected
            assert self.fs.seek_hole(node.ino, offset) == node.ranges.seek_hole(offset, node.size())
