"""What one thing costs does not grow with how many there are: steps are counted, not seconds.

A step is an instruction of SQLite's machine, or a call of a Python function: what grows with the store shows
in either. The same work gives the same number on every machine, up to where in a page of the index rows lie.
"""

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import vfs
from vfs import FileSystem
from vfs.backing.storage import DirectoryStorage
from vfs.inode.after_commit import WHOLE_DIRECTORY_ENTRIES

MIB = 1 << 20
FEW, MANY = 5_000, 20_000
SAME = 1.05
"""More than this, with four times as much of everything, is growth."""


@dataclass
class Steps:
    statements: int = 0
    calls: int = 0


@contextmanager
def counted(fs: FileSystem) -> Iterator[Steps]:
    """Steps of the block, in the owner's thread."""
    steps = Steps()

    def instruction() -> bool:
        steps.statements += 1
        return False

    def call(frame: Any, event: str, argument: Any) -> None:
        steps.calls += event == "call" and frame.f_code is not instruction.__code__

    index = fs.store.index
    connections = (index._reader, index._writing_connection())
    for connection in connections:
        connection.set_progress_handler(instruction, 1)
    sys.setprofile(call)
    try:
        yield steps
    finally:
        sys.setprofile(None)
        for connection in connections:
            connection.set_progress_handler(None)


def put(fs: FileSystem, folder: int, first: int, end: int) -> None:
    for number in range(first, end):
        fs.mknod(folder, b"%07d" % number, 0o644)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two stores with one folder of so many files each."""
    found = {}
    for files in (FEW, MANY):
        found[files] = tmp_path_factory.mktemp("scale") / f"{files}"
        vfs.mkfs(found[files])
        with vfs.open(found[files]) as fs:
            put(fs, fs.make_directory("/all").ino, 0, files)
    return found


@contextmanager
def quiet(store: Path, **options: Any) -> Iterator[FileSystem]:
    """The store, without checkpoints by time."""
    with vfs.open(store, commit_seconds=1e9, **options) as fs:
        fs.autopilot = False
        yield fs


def steps_of(stores: dict[int, Path], work: Callable[[FileSystem, int], object]) -> list[Steps]:
    found = []
    for files, store in stores.items():
        with quiet(store, read_only=True) as fs:
            work(fs, files)  # once before: what is asked for the first time only
            with counted(fs) as steps:
                work(fs, files)
        found.append(steps)
    return found


def assert_same(few: Steps, many: Steps) -> None:
    print(few, many)
    assert many.statements <= few.statements * SAME + 20
    assert many.calls <= few.calls * SAME + 20


def test_looking_a_name_up(stores: dict[int, Path]) -> None:
    def look(fs: FileSystem, files: int) -> None:
        folder = fs.resolve("/all").ino
        for number in range(0, files, files // 50):
            assert fs.find(folder, b"%07d" % number) is not None
            assert fs.find(folder, b"%07d." % number) is None
            fs.table.evict_trees((0,))

    few, many = steps_of(stores, look)
    assert few.statements > 50, "they are looked for in the index"
    assert_same(few, many)


def test_the_first_names_of_a_listing(stores: dict[int, Path]) -> None:
    def begin(fs: FileSystem, files: int) -> None:
        rows = fs.readdir(fs.resolve("/all").ino, 0, 256)
        assert len(rows) == 258
        fs.table.evict_trees((0,))

    few, many = steps_of(stores, begin)
    assert few.statements < 100 * 256, "it asks for the rows that it shows, and for no others"
    assert_same(few, many)


def test_opening(stores: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    instructions = 0

    def count() -> bool:
        nonlocal instructions
        instructions += 1
        return False

    def connection(self: DirectoryStorage, *arguments: Any, **options: Any) -> Any:
        made = original(self, *arguments, **options)
        made.set_progress_handler(count, 1)
        return made

    original = DirectoryStorage.index_connection
    monkeypatch.setattr(DirectoryStorage, "index_connection", connection)
    found = []
    for store in stores.values():
        instructions = 0
        with vfs.open(store, read_only=True):
            found.append(instructions)
    assert 0 < found[1] <= found[0] * SAME


def test_creating_and_its_checkpoint(tmp_path: Path) -> None:
    """In a folder that has grown beyond what is kept of one as a whole."""
    vfs.mkfs(tmp_path / "store")
    found = []
    with quiet(tmp_path / "store", cache_bytes=MIB) as fs:  # so that each sample has its share of sweeps
        folder = fs.make_directory("/all").ino
        made = 0
        for before in (WHOLE_DIRECTORY_ENTRIES, 3 * WHOLE_DIRECTORY_ENTRIES):
            put(fs, folder, made, before)
            fs.checkpoint()
            for _ in range(
                2
            ):  # those that were used are looked at twice; then nothing is left of what was made before
                fs.table.sweep()
            made = before + 3_000
            with counted(fs) as steps:
                for first in range(before, made, 1_000):
                    put(fs, folder, first, first + 1_000)
                    fs.checkpoint()
            found.append(steps)
    assert_same(*found)


def test_a_place_in_a_large_file(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    sizes = (200, 2_000)
    with quiet(tmp_path / "store") as fs:
        for segments in sizes:
            file = fs.write_bytes(f"/{segments}", b"x").ino
            fs.truncate(file, segments * 16 * MIB)
            for number in range(segments):
                fs.write(file, number * 16 * MIB, b"%d" % number * 2000)
    found = []
    for segments in sizes:
        with quiet(tmp_path / "store") as fs, counted(fs) as steps:
            file = fs.resolve(f"/{segments}").ino
            for number in range(0, segments, segments // 20):
                assert bytes(fs.read(file, number * 16 * MIB, 4096)).startswith(b"%d" % number)
            fs.write(file, segments * 16 * MIB, b"appended")
            fs.checkpoint()
        found.append(steps)
    assert_same(*found)


def test_walking_takes_no_memory_for_what_is_behind(stores: dict[int, Path]) -> None:
    """As the kernel walks: it knows each inode until it has been told to forget it."""
    with quiet(stores[MANY], cache_bytes=MIB) as fs:
        folder = fs.resolve("/all").ino
        tracemalloc.start()
        try:
            at_first, _ = tracemalloc.get_traced_memory()
            cookie, known = 0, []
            while rows := fs.readdir(folder, cookie, 256):
                cookie = rows[-1][2]
                for name, number, _, _ in rows:
                    if name not in (b".", b".."):
                        fs.table.remember(fs.get(number))
                        known.append(number)
            del rows
            assert len(known) == MANY
            numbers_bytes = sys.getsizeof(known) + sum(map(sys.getsizeof, known))
            taken = tracemalloc.get_traced_memory()[1] - at_first - numbers_bytes
            assert taken < 1.2 * MIB, "1,000 inodes in memory, and some bytes for each that the kernel knows"
            assert all(fs.table.is_held(number) for number in known)
            for number in known:
                fs.table.forget(number, 1)
            assert not any(fs.table.is_held(number) for number in known)
            left = tracemalloc.get_traced_memory()[0] - at_first - numbers_bytes
            assert left < 0.7 * MIB
        finally:
            tracemalloc.stop()


def test_snapshots(tmp_path: Path) -> None:
    """Each more makes what a checkpoint asks of the index, and what the list of all is, a little longer."""
    vfs.mkfs(tmp_path / "store")
    found = []
    with quiet(tmp_path / "store") as fs:
        for number in range(100):
            fs.write_bytes(f"/{number}", b"")
        taken = 0
        for before in (50, 250):
            while taken < before:
                fs.write_bytes(f"/{taken % 100}", b"%d" % taken)
                fs.create_snapshot(f"s{taken}")
                taken += 1
            with counted(fs) as steps:
                for number in range(20):
                    fs.write_bytes(f"/{number}", b"%d" % taken)
                    fs.checkpoint()
                    assert fs.resolve(f"/.snapshots/s{taken - 1 - number}/{number}").is_file
            found.append(steps)
    few, many = found
    print(few, many)
    assert many.calls - few.calls < 200 * 4, "their list is read once; nothing else is done for each of them"
    assert many.statements - few.statements < 20 * 200 * 30, "30 for each snapshot at each checkpoint"
