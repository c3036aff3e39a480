"""What a store does by itself must not fail what a program asked for: noting an access, relief of memory, a
checkpoint between two operations. All of them are put off when the disk is full.
"""

import errno

import pytest

import vfs.checkpoint
from tests.crash.afterwards import check_clean, check_same, shown
from tests.crash.disks import new_disk
from tests.crash.operations import opened
from tests.crash.trees import tree
from tests.simulated.faults import Fault

FULL = [Fault(errno.ENOSPC, kind, times=1 << 30) for kind in ("append", "create", "write")]


def test_a_full_disk_is_read_although_no_access_can_be_noted() -> None:
    disk = new_disk()
    fs = opened(disk)
    fs.make_directory("/folder")
    fs.write_bytes("/folder/file", b"content" * 1000)
    before = tree(fs)
    disk.faults = FULL
    assert fs.read_bytes("/folder/file") == b"content" * 1000
    assert bytes(fs.read_resident(fs.resolve("/folder/file").ino, 0, 7) or b"content") == b"content"
    assert fs.listdir("/folder") == [b"file"]
    assert fs.readdir(fs.resolve("/folder").ino, 0)[2][0] == b"file"
    check_same(tree(fs), before, "read on a full disk")
    disk.faults = []
    fs.read_bytes("/folder/file")
    assert fs.resolve("/folder/file").atime_ns > before["/folder/file"][0][8], "noted when there is room"
    fs.close()


def test_a_write_that_was_done_is_answered_although_nothing_more_can_be_logged() -> None:
    disk = new_disk()
    fs = opened(disk, cache_bytes=8 << 10)
    ino = fs.write_bytes("/file", b"").ino
    appended = 0
    for number in range(200):
        data = b"%050d" % number
        # Room for the write itself, and for nothing that relief of memory wants to log after it.
        disk.faults = [Fault(errno.ENOSPC, "append", skip=1, times=1 << 30)]
        fs.write(ino, appended, data)
        appended += len(data)
        disk.faults = []
    assert fs.get(ino).size == appended
    last = tree(fs)
    fs.store.close()
    check_same(shown(disk), last, "killed")
    check_clean(disk, "killed")


def test_a_checkpoint_by_itself_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vfs.checkpoint, "CHANGES", 5)
    disk = new_disk()
    fs = opened(disk)
    fs.autopilot = True
    disk.faults = [Fault(errno.ENOSPC, "write", times=1 << 30)]  # the index alone
    for number in range(20):
        fs.mknod(1, b"%d" % number, 0o644)
    assert fs.store.index.meta()["lsn"] == 0
    assert fs.failed is None
    disk.faults = []
    fs._retry_at = 0.0
    fs.mknod(1, b"last", 0o644)
    assert fs.store.index.meta()["lsn"] > 0
    assert len(fs.listdir()) == 21
    fs.close()
    check_clean(disk, "closed")
