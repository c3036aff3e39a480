"""A real file system fills up under the store: programs are told, what was synced stays, deletes help."""

import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.mounted.disks import LoopDisk
from tests.mounted.mounting import ROOT, VFS, MountedStore, vfs
from tests.mounted.programs import CLEAN_ENVIRONMENT, PROGRAM_SECONDS, needs_root, run

pytestmark = [pytest.mark.mounted, needs_root]

MIB = 1 << 20
DISK_MIB = 200
PIECE_BYTES = 4 * MIB
LARGE_PIECES = 20
NO_SPACE = "No space left on device"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[MountedStore]:
    """A mounted store on a small ext4."""
    with LoopDisk(tmp_path, DISK_MIB) as disk:
        mounted = MountedStore(tmp_path, disk=disk.path)
        mounted.mount()
        try:
            yield mounted
            mounted.finish()
        finally:
            mounted.abandon()


def noise(number: int) -> bytes:
    return random.Random(number).randbytes(PIECE_BYTES)


def attempt(*command: str | Path, cwd: Path | None = None) -> tuple[int, str]:
    """Run a program that may fail; its exit code, and what it said on standard error."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=CLEAN_ENVIRONMENT,
        timeout=PROGRAM_SECONDS,
        check=False,
    )
    return done.returncode, done.stderr


def fill(folder: Path, source: Path, first: int) -> int:
    """dd with fsync, one file after another, until there is no room; returns the first that was refused."""
    for number in range(first, first + 1000):
        source.write_bytes(noise(number))
        code, said = attempt("dd", f"if={source}", f"of={folder / f'{number}'}", "bs=1M", "conv=fsync")
        if code != 0:
            assert NO_SPACE in said
            return number
    pytest.fail("it never got full")


def check(folder: Path, numbers: Iterator[int] | range | list[int]) -> None:
    for number in numbers:
        assert (folder / f"{number}").read_bytes() == noise(number), number


def room(folder: Path) -> int:
    """Bytes that df calls available."""
    return int(run("df", "--output=avail", "--block-size=1", folder).split()[1])


def wait_for_room(folder: Path, wanted: int) -> float:
    """Nobody asks for it; returns how long it took."""
    begin = time.monotonic()
    while room(folder) < wanted:
        assert time.monotonic() < begin + 60, f"{room(folder)} bytes of room are all that was made"
        time.sleep(0.1)
    return time.monotonic() - begin


def check_figures(folder: Path, store: Path) -> None:
    """The mount tells what the disk tells. Packing goes on meanwhile, by a chunk or a pack at a time."""
    end = time.monotonic() + 60
    while True:
        before, mine, after = map(os.statvfs, (store, folder, store))
        assert mine.f_blocks * mine.f_frsize <= DISK_MIB * MIB
        least, most = sorted(look.f_bfree * look.f_frsize for look in (before, after))
        assert least - 16 * MIB < mine.f_bfree * mine.f_frsize < most + 16 * MIB
        if before.f_ffree == mine.f_ffree == after.f_ffree:
            return
        assert time.monotonic() < end, (before, mine, after)
        time.sleep(0.01)


class Ledger:
    """A database of SQLite that stays open, and how many of its rows were acknowledged."""

    def __init__(self, path: Path, journal: str) -> None:
        self._path = path
        self._rows = 0
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute(f"PRAGMA journal_mode={journal}")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE entry (number INTEGER PRIMARY KEY, noise BLOB)")
        self.add()

    def add(self) -> None:
        """One more row, in a transaction of its own."""
        row = (self._rows + 1, random.Random(self._rows).randbytes(300_000))
        self._connection.execute("INSERT INTO entry VALUES (?, ?)", row)
        self._rows += 1

    def add_many(self) -> None:
        """More than there can be room for."""
        for _ in range(300):
            self.add()

    def check(self) -> None:
        """Sound, with every acknowledged row."""
        self._connection.close()
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        with closing(self._connection.cursor()) as cursor:
            assert cursor.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert cursor.execute("SELECT count(*), max(number) FROM entry").fetchone() == (self._rows,) * 2

    def close(self) -> None:
        self._connection.close()


def make_repository(repository: Path) -> None:
    run("git", "init", "--quiet", repository)
    run("git", "config", "core.fsync", "all", cwd=repository)
    commit(repository, 1)


def commit(repository: Path, number: int) -> None:
    (repository / "file").write_bytes(random.Random(number).randbytes(500_000))
    run("git", "add", "file", cwd=repository)
    run("git", "commit", "--quiet", "--message", f"{number}", cwd=repository)


def test_programs_are_told_and_go_on_when_there_is_room(small: MountedStore, tmp_path: Path) -> None:
    folder, source = small.path, tmp_path / "source"
    repository = folder / "repository"
    make_repository(repository)
    ledgers = [Ledger(folder / f"{journal}.db", journal) for journal in ("wal", "delete")]
    for ledger in ledgers:
        ledger.add()
    large = tmp_path / "large"  # more than what packing gives back while we go on
    large.write_bytes(b"".join(map(noise, range(2000, 2000 + LARGE_PIECES))))
    run("tar", "--create", "--file", tmp_path / "large.tar", "--directory", tmp_path, "large")
    full = fill(folder, source, 0)
    assert full * PIECE_BYTES > DISK_MIB * MIB // 2

    # Every program hears of it, in its own way.
    check_figures(folder, small.store)
    for command in (
        ("cp", large, folder / "copied"),
        ("tar", "--extract", "--file", tmp_path / "large.tar", "--directory", folder),
        ("git", "-C", repository, "hash-object", "-w", large),
    ):
        code, said = attempt(*command)
        assert code != 0
        assert NO_SPACE in said, command
    for ledger in ledgers:
        with pytest.raises(sqlite3.OperationalError):
            ledger.add_many()

    # Killed while it is full, mounted while it is full: all that was acknowledged is there.
    check(folder, range(full))
    for ledger in ledgers:
        ledger.close()
    small.kill()
    small.fsck()
    small.mount()
    check(folder, range(full))
    run("git", "fsck", "--full", "--strict", cwd=repository)

    # Every second file goes, so that hardly a chunk or a pack is dead as a whole.
    for name in ("copied", "large", *(f"{number}" for number in range(0, full, 2))):
        (folder / name).unlink(missing_ok=True)
    left = list(range(1, full, 2))
    took = wait_for_room(folder, len(left) * PIECE_BYTES // 2)
    print(f"room after {took:.1f} s")
    for ledger in ledgers:
        ledger.check()
        ledger.add()
        ledger.check()
        ledger.close()
    attempt("rm", "-f", repository / ".git" / "index.lock")
    commit(repository, 2)
    run("git", "fsck", "--full", "--strict", cwd=repository)
    run("cp", source, folder / "copied")
    more = fill(folder, source, 1000)
    small.remount()
    check(folder, [*left, *range(1000, more)])


def test_packing_that_finds_no_room_loses_nothing(small: MountedStore, tmp_path: Path) -> None:
    folder, source = small.path, tmp_path / "source"
    small.remount("nopack")
    full = fill(folder, source, 0)
    # All of it still lies in the log. What is kept free is enough to pack it, chunk by chunk.
    vfs("flush", folder)
    check(folder, range(full))
    for number in range(0, full, 2):
        (folder / f"{number}").unlink()
    left = list(range(1, full, 2))
    vfs("gc", folder)
    assert room(folder) > len(left) * PIECE_BYTES // 2

    # And when somebody else takes even that, it is told, and put off.
    more = range(1000, 1004)
    for number in more:
        (folder / f"{number}").write_bytes(noise(number))
    ballast = small.store.parent / "ballast"
    disk = os.statvfs(small.store)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - MIB)
    code, said = attempt(*VFS, "flush", folder, cwd=ROOT)
    assert code == 1
    assert "room" in said
    check(folder, [*left, *more])
    small.kill()
    small.fsck()
    small.mount("nopack")
    check(folder, [*left, *more])
    ballast.unlink()
    vfs("flush", folder)
    check(folder, [*left, *more])
