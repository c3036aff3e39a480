"""Look-ups and listings of what is not in memory: how often the index is asked, and what stays of it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import vfs
from vfs.filesystem import FileSystem
from vfs.inode.ahead import MOST_WIDTH
from vfs.inode.directory import COMPLETE_ENTRIES
from vfs.numbers import LOCAL_MASK

FILES = 1000
HUGE = COMPLETE_ENTRIES + FILES
NAMES = [b"file%05d" % number for number in range(HUGE)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a folder that is read as a whole, and one that is not."""
    path = tmp_path_factory.mktemp("look-ups") / "store"
    vfs.mkfs(path)
    with vfs.open(path) as fs:
        for folder, count in ((b"small", FILES), (b"huge", HUGE)):
            number = fs.mkdir(1, folder, 0o755).ino
            for name in NAMES[:count]:
                fs.mknod(number, name, 0o644)
        fs.create_snapshot("first")
        clone = fs.clone("first:/small", 1, b"clone").ino
        for name in NAMES[:FILES:2]:
            fs.set_attributes(fs.lookup(clone, name).ino, mode=0o600)
        fs.create_snapshot("second")
    return path


@contextmanager
def statements(fs: FileSystem, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that the index runs for the owner."""
    run: list[str] = []
    ask: Callable[..., list[Any]] = fs.store.index._all
    with monkeypatch.context() as patch:

        def counting(sql: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
            run.append(sql)
            return ask(sql, arguments)

        patch.setattr(fs.store.index, "_all", counting)
        yield run


@pytest.mark.parametrize(
    "folder", ["small", "huge", "clone", ".snapshots/first/small", ".snapshots/second/huge"]
)
def test_look_ups_in_order_ask_once_for_many(
    store: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    with vfs.open(store, read_only=True) as fs:
        number = fs.resolve(folder).ino
        with statements(fs, monkeypatch) as run:
            for position, name in enumerate(NAMES[:FILES]):
                inode = fs.lookup(number, name)
                private = folder == "clone" and position % 2 == 0
                assert inode.mode & 0o777 == (0o600 if private else 0o644)
                assert inode.ino & ~LOCAL_MASK == number & ~LOCAL_MASK
        assert len(run) < 100


def test_look_ups_at_random_in_a_huge_folder_ask_for_what_they_need(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = random.Random(7).sample(NAMES, 500)
    with vfs.open(store, read_only=True) as fs:
        number = fs.resolve("huge").ino
        loaded = len(list(fs.table.loaded()))
        with statements(fs, monkeypatch) as run:
            for name in names:
                fs.lookup(number, name)
        assert len(run) <= 2 * len(names) + 10
        assert len(list(fs.table.loaded())) - loaded <= len(names) + 2 * MOST_WIDTH


def test_what_is_read_ahead_stays_within_the_bounds_of_memory(store: Path) -> None:
    with vfs.open(store, read_only=True, cache_bytes=1 << 20) as fs:
        number = fs.resolve("huge").ino
        for name in NAMES:
            fs.lookup(number, name)
            assert fs.limiter.used_bytes <= fs.limiter.limit_bytes
            # A quarter more than the bound comes in before a second sweep finds what nobody used any more.
            assert len(list(fs.table.loaded())) <= 5 * fs.table._cached_inodes // 4 + MOST_WIDTH
        fs.table.check_invariants()


def test_what_was_read_ahead_in_many_folders_in_use_goes_when_memory_is_short(tmp_path: Path) -> None:
    path = tmp_path / "store"
    vfs.mkfs(path)
    with vfs.open(path) as fs:
        folders = [fs.mkdir(1, b"folder%d" % number, 0o755).ino for number in range(30)]
        for folder in folders:
            for name in NAMES[:200]:
                fs.mknod(folder, name, 0o644)
    with vfs.open(path, cache_bytes=1 << 19) as fs:
        for folder in folders:
            fs.open(folder)  # so it stays in memory
            for name in NAMES[:60]:
                fs.lookup(folder, name)
            assert fs.limiter.used_bytes <= fs.limiter.limit_bytes
        assert not fs.memory_wants_checkpoint
        fs.table.check_invariants()


@pytest.mark.parametrize("folder", ["small", "clone", ".snapshots/first/small", ".snapshots/second/clone"])
def test_a_listing_with_all_attributes_asks_once_for_many(
    store: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    with vfs.open(store, read_only=True) as fs, statements(fs, monkeypatch) as run:
        number = fs.resolve(folder).ino
        cookie, listed = 0, 0
        while rows := fs.readdir(number, cookie):
            for name, ino, cookie, kind in rows:
                if cookie > 2:
                    assert fs.named(fs.get(number), (ino, cookie, kind)).ino == ino
                    listed += name in NAMES
        assert listed == FILES
        assert len(run) < 40


def test_a_listing_after_a_rollback_asks_once_for_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store"
    vfs.mkfs(path)
    with vfs.open(path) as fs:
        for name in NAMES[:FILES]:
            fs.mknod(1, name, 0o644)
        fs.create_snapshot("before")
        for name in NAMES[:FILES:3]:
            fs.set_attributes(fs.lookup(1, name).ino, mode=0o600)
        fs.rollback("before")
        for name in NAMES[:FILES:5]:
            fs.set_attributes(fs.lookup(1, name).ino, mode=0o640)
        fs.unlink(1, NAMES[1])
    with vfs.open(path) as fs, statements(fs, monkeypatch) as run:
        modes = {name: fs.lookup(1, name).mode & 0o777 for name in fs.listdir()}
        expected = {
            name: 0o640 if position % 5 == 0 else 0o644 for position, name in enumerate(NAMES[:FILES])
        }
        del expected[NAMES[1]]
        assert modes == expected
        assert len(run) < 60


def test_a_damaged_neighbour_is_for_whoever_asks_for_it(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "store"
    vfs.mkfs(path)
    with vfs.open(path) as fs:
        for name in NAMES[:100]:
            fs.mknod(1, name, 0o644)
        bad = fs.resolve(NAMES[50]).ino
    with vfs.open(path) as fs, fs.store.index.transaction() as transaction:
        transaction.query("UPDATE inode SET uid=-1 WHERE ino=?", (bad,))
    with vfs.open(path) as fs:
        for name in NAMES[:100]:
            if name == NAMES[50]:
                with pytest.raises(vfs.errors.IndexDamaged):
                    fs.lookup(1, name)
            else:
                assert fs.lookup(1, name).nlink == 1
