"""On a real mount the space that only deleted snapshots, rolled back states and removed clones held comes
back, while programs go on writing.
"""

import json
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.taken_room import taken_bytes
from tests.waiting import eventually
from vfs.cli.application import main

pytestmark = pytest.mark.mounted

MIB = 1 << 20
LARGE = 12 * MIB
"""What comes and goes."""
KEPT = 2 * MIB
OVERHEAD = 3 * MIB
"""Index, headers, and the chunk that is being written."""
MANY = 100


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def quickly(*arguments: str | Path) -> None:
    """`vfs ...` in this process, which is as good as in one of its own and ten times faster."""
    assert main([str(argument) for argument in arguments]) == 0


def waiting_jobs(store: Path) -> int:
    """How many deleted snapshots and trees are still to be pruned, as anybody may ask the index."""
    connection = sqlite3.connect(f"file:{store}/index.db?mode=ro", uri=True, timeout=30)
    try:
        found: int = connection.execute("SELECT count(*) FROM pruning").fetchone()[0]
        return found
    finally:
        connection.close()


class Written:
    """How much each of the programs has written so far."""

    def __init__(self, programs: int) -> None:
        self.sizes = [0] * programs

    @property
    def size(self) -> int:
        return sum(self.sizes)


@contextmanager
def writers(folder: Path) -> Iterator[Written]:
    """Programs that write, replace, sync and read meanwhile; what they read is what they wrote."""
    stop = threading.Event()
    failed: list[BaseException] = []
    written = Written(2)

    def work(number: int) -> None:
        path = folder / f"writer{number}"
        count = 0
        try:
            while not count or not stop.wait(0.01):
                content = noise(count, 20_000)
                written.sizes[number] += len(content)
                path.with_suffix(".new").write_bytes(content)
                os.replace(path.with_suffix(".new"), path)
                assert path.read_bytes() == content
                count += 1
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield written
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed


def base(mounted: MountedStore) -> None:
    """A file that is kept, and a snapshot of it."""
    (mounted.path / "kept").write_bytes(noise(1, KEPT))
    vfs("snapshot", "create", mounted.path, "base")


def check_space(mounted: MountedStore, meanwhile: Callable[[], int] = lambda: 0) -> None:
    """Only what is kept takes room, and what was written meanwhile."""
    path, store = mounted.path, mounted.store
    taken = taken_bytes(store)
    assert taken < KEPT + OVERHEAD + meanwhile()
    assert waiting_jobs(store) == 0
    assert (path / ".snapshots/base/kept").read_bytes() == noise(1, KEPT)
    assert (path / "kept").read_bytes() == noise(1, KEPT)


def test_what_a_deleted_snapshot_and_a_removed_clone_held_comes_back(mounted: MountedStore) -> None:
    path, store = mounted.path, mounted.store
    base(mounted)
    vfs("clone", path, "base", "clone")
    with writers(path) as written:
        (path / "large").write_bytes(noise(2, LARGE))
        (path / "clone/large").write_bytes(noise(3, LARGE))
        vfs("snapshot", "create", path, "with-large")
        os.unlink(path / "large")
        vfs("snapshot", "create", path, "later")
        vfs("flush", path)  # out of the log, where both large files may share a chunk
        vfs("gc", path)
        assert taken_bytes(store) > 2 * LARGE
        vfs("snapshot", "delete", path, "with-large")
        before = written.size
        vfs("gc", path)
        assert LARGE < taken_bytes(store) < LARGE + KEPT + OVERHEAD + written.size - before
        vfs("snapshot", "delete", path, "later")
        vfs("clone", "--delete", path, "clone")
        before = written.size
        vfs("gc", path)
        check_space(mounted, lambda: written.size - before)


def test_what_was_rolled_back_comes_back_with_gc(mount_store: Mounter) -> None:
    """Where nothing happens by itself."""
    mounted = mount_store("nopack")
    path = mounted.path
    base(mounted)
    (path / "large").write_bytes(noise(4, LARGE))
    kept_as = json.loads(vfs("rollback", path, "base", "--json"))["kept_as"]
    assert not (path / "large").exists()
    assert json.loads(vfs("gc", "--dry-run", "--json", path))["pruned_bytes"] == 0
    vfs("snapshot", "delete", path, kept_as)
    would = json.loads(vfs("gc", "--dry-run", "--json", path))
    assert LARGE * 0.9 < would["pruned_bytes"] < LARGE * 1.1
    assert waiting_jobs(mounted.store) == 1
    report = json.loads(vfs("gc", "--json", path))
    assert report["pruned_rows"] > 1
    assert report["log_freed_bytes"] > LARGE * 0.9
    check_space(mounted)


def test_a_hundred_snapshots_go_by_themselves(mounted: MountedStore) -> None:
    """Rows without anybody asking, and with `vfs gc` all that they held."""
    path, store = mounted.path, mounted.store
    folder = path / "folder"
    folder.mkdir()
    names = [f"s{number}" for number in range(MANY)]
    for number, name in enumerate(names):
        for file in range(4):
            (folder / f"file{(number + file) % 10}").write_bytes(noise(number * 10 + file, 40_000))
        quickly("snapshot", "create", path, name)
    shown = {file.name: file.read_bytes() for file in (path / ".snapshots/s50/folder").iterdir()}
    quickly("snapshot", "delete", path, *(name for name in names if name != "s50"))
    with writers(path):
        eventually(lambda: waiting_jobs(store) == 0)
    vfs("gc", path)
    assert taken_bytes(store) < 20 * 40_000 + OVERHEAD
    assert {file.name: file.read_bytes() for file in (path / ".snapshots/s50/folder").iterdir()} == shown
