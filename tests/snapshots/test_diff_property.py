"""`diff` against a walk through both sides, for random histories: all kinds of changes, of main tree and
clones, with snapshots, rollbacks, deletions and packing between them.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import vfs
from tests.snapshots.brute_force import check
from vfs.backing.index_view import IndexView
from vfs.errors import OperationError, SnapshotError
from vfs.limits import ROOT_INO
from vfs.numbers import number_of

SEEDS = range(int(os.environ.get("VFS_DIFF_SEEDS", "6")))
STEPS = 150
NAMES = [b"a", b"b", b"c", b"d", b"e"]


class History:
    """Random changes of one store, and comparisons now and then."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.random = random.Random(seed)
        vfs.mkfs(path)
        self.fs = vfs.open(path)
        self.snapshots: list[str] = []
        self.lines = 0
        self.number = 0

    # --- places -----------------------------------------------------------------------------

    def folders(self) -> list[int]:
        found, waiting = [], [ROOT_INO]
        while waiting:
            folder = waiting.pop()
            found.append(folder)
            waiting += [ino for _, ino, kind in self.entries(folder) if kind == 4]
        return found

    def entries(self, folder: int) -> list[tuple[bytes, int, int]]:
        return [(name, ino, kind) for name, ino, _, kind in self.fs.readdir(folder, 2, 10_000)]

    def somewhere(self) -> tuple[int, bytes]:
        return self.random.choice(self.folders()), self.random.choice(NAMES)

    def something(self, *kinds: int) -> tuple[int, bytes, int]:
        found = [
            (folder, name, ino)
            for folder in self.folders()
            for name, ino, kind in self.entries(folder)
            if not kinds or kind in kinds
        ]
        if not found:
            raise SnapshotError("nothing there")
        return self.random.choice(found)

    def bytes(self) -> bytes:
        return self.random.choice([b"", b"x", b"y" * 100, b"z" * 9000, self.random.randbytes(5000)])

    # --- steps ------------------------------------------------------------------------------

    def create(self) -> None:
        self.fs.write(self.fs.mknod(*self.somewhere(), 0o644).ino, 0, self.bytes())

    def make_folder(self) -> None:
        self.fs.mkdir(*self.somewhere(), 0o755)

    def make_link(self) -> None:
        self.fs.symlink(*self.somewhere(), self.random.choice([b"x", b"y"]))

    def write(self) -> None:
        _, _, ino = self.something(8)
        if self.random.random() < 0.3:
            self.fs.truncate(ino, self.random.choice([0, 1, 100]))
        else:
            self.fs.write(ino, self.random.choice([0, 0, 3]), self.bytes())

    def write_again(self) -> None:
        _, _, ino = self.something(8)
        self.fs.write(ino, 0, bytes(self.fs.read(ino, 0, 1 << 20)))

    def replace(self) -> None:
        folder, name, ino = self.something(8)
        new = self.fs.mknod(folder, b"temporary", 0o644)
        data = bytes(self.fs.read(ino, 0, 1 << 20)) if self.random.random() < 0.5 else self.bytes()
        self.fs.write(new.ino, 0, data)
        self.fs.rename(folder, b"temporary", folder, name)

    def rename(self) -> None:
        folder, name, _ = self.something()
        self.fs.rename(folder, name, *self.somewhere())

    def exchange(self) -> None:
        folder, name, _ = self.something()
        other, other_name, _ = self.something()
        self.fs.rename(folder, name, other, other_name, 2)

    def link(self) -> None:
        _, _, ino = self.something(8)
        self.fs.link(ino, *self.somewhere())

    def remove(self) -> None:
        folder, name, _ = self.something(8, 10)
        self.fs.unlink(folder, name)

    def remove_folder(self) -> None:
        folder, name, ino = self.something(4)
        self._empty(ino)
        self.fs.rmdir(folder, name)

    def _empty(self, folder: int) -> None:
        for name, ino, kind in self.entries(folder):
            if kind == 4:
                self._empty(ino)
                self.fs.rmdir(folder, name)
            else:
                self.fs.unlink(folder, name)

    def attributes(self) -> None:
        _, _, ino = self.something()
        what = self.random.randrange(4)
        if what == 0:
            self.fs.set_attributes(ino, mode=self.random.choice([0o600, 0o644]))
        elif what == 1:
            self.fs.set_attributes(ino, uid=self.random.choice([0, 7]))
        elif what == 2:
            self.fs.set_attributes(ino, mtime_ns=self.random.randrange(10**18))
        else:
            self.fs.set_xattr(ino, b"user.a", self.random.choice([b"1", b"2"]))

    def snapshot(self) -> None:
        self.number += 1
        self.fs.create_snapshot(f"s{self.number}")
        self.snapshots.append(f"s{self.number}")

    def delete_snapshot(self) -> None:
        if len(self.snapshots) > 3:
            name = self.snapshots.pop(self.random.randrange(len(self.snapshots)))
            self.fs.delete_snapshots([name])

    def rollback(self) -> None:
        if self.snapshots:
            self.snapshots.append(self.fs.rollback(self.random.choice(self.snapshots)).kept_as)

    def clone(self) -> None:
        if self.snapshots:
            self.fs.clone(self.random.choice(self.snapshots), *self.somewhere())

    def drop_clone(self) -> None:
        clones = self.fs.table.clones()
        if len(clones) > 2:
            tree = self.fs.table.trees.get(self.random.choice(clones))
            assert tree is not None
            self.fs.drop_clone(tree.root_ino)

    def pack(self) -> None:
        self.fs.flush()

    def collect(self) -> None:
        """With what only deleted snapshots showed."""
        self.fs.collect()

    def read(self) -> None:
        _, _, ino = self.something(8)
        self.fs.read(ino, 0, 10)

    def reopen(self) -> None:
        self.fs.close()
        self.fs = vfs.open(self.path)

    # --- comparing --------------------------------------------------------------------------

    def words(self) -> list[str]:
        found = ["/", *self.snapshots]
        for tree in self.fs.table.clones():
            known = self.fs.table.trees.get(tree)
            path = None if known is None else self.fs.path_of(known.root_ino)
            if path is not None:
                found.append(path.decode())
        for word in list(found):
            base = word if word.startswith("/") else f".snapshots/{word}"
            for name, _, kind in self.entries(self.fs.resolve(base).ino):
                if kind == 4:
                    inner = f"{word.rstrip('/')}/{name.decode()}"
                    found.append(inner if word.startswith("/") else f"{word}:{name.decode()}")
        return found

    def compare(self) -> None:
        words = self.words()
        for _ in range(4):
            self.lines += check(self.fs, self.random.choice(words), self.random.choice(words))
        if self.snapshots:
            self.lines += check(self.fs, self.random.choice(self.snapshots), "/")
        self.look_at_rows()

    def look_at_rows(self) -> None:
        """Many rows at once are those that one gets one by one."""
        with self.fs.store.index.checking(writable=False) as transaction:
            rows = IndexView(transaction)
            for tree in rows.trees:
                numbers = [number_of(tree.id, local) for local in range(1, 100)]
                assert rows.inodes(tree.id, numbers) == {number: rows.inode(number) for number in numbers}

    def live(self, steps: int) -> None:
        often: list[Callable[[], None]] = [
            *(self.create, self.make_folder, self.write, self.rename, self.replace, self.remove),
            *(self.attributes, self.link, self.write_again, self.make_link, self.read),
        ]
        seldom: list[Callable[[], None]] = [
            *(self.remove_folder, self.exchange, self.snapshot, self.snapshot, self.delete_snapshot),
            *(self.rollback, self.clone, self.drop_clone, self.pack, self.collect, self.reopen),
        ]
        for step in range(steps):
            choice = self.random.choice(seldom if self.random.random() < 0.2 else often)
            try:
                choice()
            except OperationError:
                continue  # a name is taken, or a folder would lie in itself
            except SnapshotError:
                continue
            finally:
                if step % 10 == 9:
                    self.compare()


@pytest.mark.parametrize("seed", SEEDS)
def test_any_history(tmp_path: Path, seed: int) -> None:
    history = History(tmp_path / "store", seed)
    try:
        history.live(STEPS)
        assert history.lines > 20
    finally:
        history.fs.close()
