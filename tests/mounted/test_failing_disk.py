"""The disk under the store fails: the mount turns read-only and says so once; what was synced stays."""

import errno
import json
import os
import random
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.processes import keeping_caches
from tests.mounted.disks import FailingDisk, forget_pages
from tests.mounted.failing_device import Faults
from tests.mounted.mounting import MountedStore, is_mounted, vfs
from tests.mounted.programs import needs_root

pytestmark = [pytest.mark.mounted, needs_root]

MIB = 1 << 20
DISK_MIB = 128
FAILURES: dict[str, tuple[Callable[[FailingDisk], None], str]] = {
    "a read-only remount": (FailingDisk.remounted_read_only, "Read-only file system"),
    "no write reaches it": (lambda disk: disk.fail(Faults(writes=True)), "Input/output error"),
    "no sync succeeds": (lambda disk: disk.fail(Faults(syncs=True)), "Input/output error"),
    "it is pulled out": (FailingDisk.shut_down, "Input/output error"),
}
"""Each with what the operating system says of it."""


NOTHING_OF_ITSELF = "commit=300,nopack"
"""The daemon does nothing to the disk that nobody has asked for, so it is the writer that meets a failure."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FailingDisk]:
    """A disk that does not fail yet. What it does not take any more is in the kernel's pages alone, and those
    count as clean: a test beside this must not have them dropped."""
    with FailingDisk(tmp_path, DISK_MIB) as disk, keeping_caches():
        yield disk


def content(number: int) -> bytes:
    return random.Random(number).randbytes(500 + number * 7919 % 60_000)


def write(folder: Path, number: int, *, sync: bool) -> None:
    descriptor = os.open(folder / f"{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        os.write(descriptor, content(number))
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)  # hands the kernel's pages over to the daemon


def write_until_it_fails(folder: Path, first: int) -> tuple[int, int]:
    """Write numbered files, a sync now and then; returns how many, and the errno that ended it."""
    for number in range(first, first + 1000):
        try:
            write(folder, number, sync=number % 5 == 4)
        except OSError as error:
            return number, error.errno or 0
    pytest.fail("writing goes on")


def check_refused(folder: Path) -> None:
    """Every change is refused as on a file system that is mounted read-only."""
    changes: list[Callable[[], object]] = [
        lambda: (folder / "new").touch(),
        lambda: (folder / "folder").mkdir(),
        lambda: (folder / "0").write_bytes(b"other"),
        lambda: (folder / "0").unlink(),
        lambda: (folder / "0").rename(folder / "moved"),
        lambda: (folder / "0").chmod(0o600),
        lambda: os.truncate(folder / "0", 3),
        lambda: os.setxattr(folder / "0", "user.some", b"value"),
    ]
    for change in changes:
        with pytest.raises(OSError) as caught:
            change()
        assert caught.value.errno == errno.EROFS


def check_prefix(folder: Path, synced: int) -> int:
    """Everything that was synced is there, and of the rest what was written first; returns how many files."""
    numbers = sorted(int(name) for name in os.listdir(folder))
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= synced
    for number in numbers:
        found = (folder / f"{number}").read_bytes()
        if number + 1 < len(numbers):
            assert found == content(number)
        else:  # its creation is one operation, its data the next ones
            assert content(number).startswith(found)
    return len(numbers)


def failures_told(text: str) -> list[str]:
    """The lines of a log that are more than information."""
    return re.findall(r" (?:WARNING|ERROR|CRITICAL) (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("failure", FAILURES)
def test_the_mount_turns_read_only_and_says_so_once(disk: FailingDisk, tmp_path: Path, failure: str) -> None:
    fail, words = FAILURES[failure]
    mounted = MountedStore(tmp_path, disk=disk.path)
    mounted.mount(NOTHING_OF_ITSELF)
    folder = mounted.path
    try:
        for number in range(40):
            write(folder, number, sync=False)
        vfs("flush", folder)  # these lie in a pack, the next ones in the log
        for number in range(40, 60):
            write(folder, number, sync=number == 59)
        still_open = os.open(folder / "59", os.O_RDWR)
        before = {name: (folder / name).read_bytes() for name in ("1", "50")}
        fail(disk)
        written, number = write_until_it_fails(folder, 60)
        assert number == errno.EIO, "the first to meet the failure is told of it"
        check_refused(folder)
        for _ in range(3):
            with pytest.raises(OSError) as caught:
                os.fsync(still_open)
            assert caught.value.errno == errno.EIO, "a sync that failed is never forgotten"
        if failure != "it is pulled out":  # what can be read can be taken out, whoever has what open
            vfs("export", folder, "/0", tmp_path / "taken out")
            assert (tmp_path / "taken out" / "0").read_bytes() == content(0)
        os.close(still_open)
        assert {name: (folder / name).read_bytes() for name in before} == before
        assert len(os.listdir(folder)) >= written
        if failure != "it is pulled out":
            assert all((folder / f"{n}").read_bytes() == content(n) for n in range(written))
        facts = json.loads(vfs("info", "--json", folder))
        assert facts["read_only"] is True
        assert words in facts["failed"]
        told = mounted.unmount_failed()
        assert re.fullmatch(rf"vfs: unmounted, but the store had failed: .*{words}.*mount again\n", told)
        line, end = failures_told(mounted.log_text())
        assert line == facts["failed"]
        assert re.search(rf"is read-only now: .*{words}; unmount, check the disk, mount again", line)
        assert end.startswith("not closed cleanly: unmounted, but")

        disk.heal()
        mounted.fsck()
        mounted.log.unlink()
        mounted.mount()
        there = check_prefix(folder, 60)
        write(folder, there, sync=True)
        mounted.remount()
        assert check_prefix(folder, there + 1) == there + 1
        mounted.finish()
    finally:
        mounted.abandon()


@pytest.fixture
def background(disk: FailingDisk, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A store on the disk and its mount point; its daemon logs to `vfs.log` on that disk."""
    store, point = disk.path / "store", tmp_path / "point"
    point.mkdir()
    vfs("mkfs", store)
    vfs("mount", store, point, "-o", NOTHING_OF_ITSELF)
    pid = json.loads(vfs("info", "--json", point))["pid"]
    yield store, point
    if is_mounted(point):
        os.kill(pid, signal.SIGKILL)
        subprocess.run(["umount", "--lazy", str(point)], check=False)


@pytest.mark.parametrize("failure", ["no write reaches it", "it is pulled out"])
def test_a_log_on_the_failing_disk_does_no_harm(
    disk: FailingDisk, background: tuple[Path, Path], failure: str
) -> None:
    store, folder = background
    fail, words = FAILURES[failure]
    write(folder, 0, sync=True)
    fail(disk)
    written, _ = write_until_it_fails(folder, 1)
    check_refused(folder)
    assert len(os.listdir(folder)) >= written
    assert words in json.loads(vfs("info", "--json", folder))["failed"]
    if failure == "no write reaches it":  # the line is in the kernel's pages, which is as far as it gets
        [line] = failures_told((store / "vfs.log").read_text())
        assert re.search(rf"is read-only now: .*{words}; unmount, check the disk, mount again", line)
    vfs("umount", folder, exit_code=1)
    assert not is_mounted(folder)
    disk.heal()
    vfs("mount", store, folder)
    check_prefix(folder, 1)
    vfs("umount", folder)
    vfs("fsck", store)


@pytest.mark.parametrize("kind", ["packs", "log"])
def test_blocks_that_cannot_be_read_hit_their_files_alone(
    disk: FailingDisk, tmp_path: Path, kind: str
) -> None:
    mounted = MountedStore(tmp_path, disk=disk.path)
    folder = mounted.path
    good, bad = random.Random(1).randbytes(MIB), random.Random(2).randbytes(MIB)
    mounted.mount("nopack")
    try:
        (folder / "good").write_bytes(good)
        vfs("flush", folder)
        (folder / "bad").write_bytes(bad)
        if kind == "packs":
            vfs("flush", folder)
        mounted.unmount()
        hit = max((mounted.store / kind).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        mounted.mount("nopack")
        forget_pages(hit)
        disk.fail(Faults(reads=disk.places_of(hit)))
        for _ in range(2):
            with pytest.raises(OSError) as caught:
                (folder / "bad").read_bytes()
            assert caught.value.errno == errno.EIO
            assert (folder / "good").read_bytes() == good
        with (folder / "new").open("wb") as new:  # a disk that takes what is written: work goes on
            new.write(bad)
            os.fsync(new.fileno())
        assert json.loads(vfs("info", "--json", folder))["failed"] is None
        disk.fail(Faults())
        assert (folder / "bad").read_bytes() == bad, "nothing is held to be damaged for good"
        mounted.unmount()
        told = failures_told(mounted.log_text())
        assert told
        assert len(told) == len(set(told)), "each place is told once"
        assert all(re.search(r"damaged data in .*cannot be read: .*Input/output error", t) for t in told)
        mounted.log.unlink()
        mounted.mount()
        assert all((folder / name).read_bytes() == bad for name in ("bad", "new"))
        mounted.finish()
    finally:
        mounted.abandon()
