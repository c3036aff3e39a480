"""Random lives of a store with snapshots, clones and rollbacks, and what all of its trees show.

Only operations of the library, drawn from a seed; whoever runs one looks at what comes of it.
"""

import random
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from vfs.errors import Exists, VfsError
from vfs.filesystem import FileSystem
from vfs.limits import ROOT_INO, SEGMENT_BYTES
from vfs.numbers import number_of

DOTS = 2
"""The cookie of "..", behind which the names begin."""

NAMES = (b"a", b"b", b"c", b"d")


def shown(fs: FileSystem) -> dict[str, Any]:
    """All trees, those of snapshots among them: path -> everything that can be read there."""
    found = dict(_below(fs, ROOT_INO, ""))
    for snapshot in fs.snapshots():
        root = fs.snapshot_root(snapshot.name).ino
        found.update(_below(fs, root, f"{snapshot.name}:"))
    return found


def _below(fs: FileSystem, folder: int, path: str) -> Iterator[tuple[str, Any]]:
    cookie = DOTS
    while rows := fs.readdir(folder, cookie):
        for name, ino, cookie, _ in rows:  # noqa: B007 -- the last one is where it goes on
            inode = fs.get(ino)
            where = f"{path}/{name.decode()}"
            facts = (ino, inode.mode, inode.size, inode.allocated, inode.nlink, inode.mtime_ns)
            xattrs = {key: fs.get_xattr(ino, key) for key in fs.list_xattrs(ino)}
            if inode.is_directory:
                yield where, (facts, xattrs)
                yield from _below(fs, ino, where)
            else:
                yield where, (facts, xattrs, _content(fs, ino, inode.size))


def _content(fs: FileSystem, ino: int, size: int) -> bytes:
    """The first bytes of each segment."""
    return b"".join(bytes(fs.read(ino, at, 40_000)) for at in range(0, size, SEGMENT_BYTES))


class RandomLife:
    """Changes a store at random; only what is possible happens."""

    def __init__(self, fs: FileSystem, seed: object) -> None:
        self.fs = fs
        self.rng = random.Random(f"life {seed}")
        self.count = 0

    def step(self) -> None:
        """One operation."""
        kinds = (self._change, self._remove, self._folder, self._rename, self._attribute, self._cut)
        with suppress(VfsError):
            self.rng.choices(kinds, (10, 6, 2, 2, 4, 3))[0]()

    def tree_step(self) -> None:
        """Something with snapshots, clones, checkpoints or packs."""
        kinds = (self.snapshot, self._delete, self.clone, self.drop, self.rollback, self._settle)
        with suppress(VfsError):
            self.rng.choices(kinds, (8, 8, 3, 2, 2, 5))[0]()

    # --- inside of trees --------------------------------------------------------------------

    def _places(self) -> list[tuple[int, bytes, int]]:
        """(folder, name, inode) of all that is there, in all live trees."""
        found: list[tuple[int, bytes, int]] = []
        waiting = [ROOT_INO]
        while waiting:
            folder = waiting.pop()
            for name, ino, _, kind in self.fs.readdir(folder, DOTS):
                found.append((folder, name, ino))
                if kind == 4:
                    waiting.append(ino)
        return found

    def _folder_number(self) -> int:
        folders = [ino for _, _, ino in self._places() if self.fs.get(ino).is_directory]
        return self.rng.choice([ROOT_INO, *folders])

    def _file(self) -> int | None:
        files = [ino for _, _, ino in self._places() if not self.fs.get(ino).is_directory]
        return self.rng.choice(files) if files else None

    def _change(self) -> None:
        folder, name = self._folder_number(), self.rng.choice(NAMES)
        found = self.fs.find(folder, name)
        ino = self.fs.mknod(folder, name, stat.S_IFREG | 0o644).ino if found is None else found.ino
        self.count += 1
        data = random.Random(self.count).randbytes(self.rng.choice((10, 5000, 30_000)))
        self.fs.write(ino, self.rng.choice((0, 0, 3000, SEGMENT_BYTES, 3 * SEGMENT_BYTES)), data)

    def _remove(self) -> None:
        places = self._places()
        if places:
            folder, name, ino = self.rng.choice(places)
            if self.fs.get(ino).is_directory:
                self.fs.rmdir(folder, name)
            else:
                self.fs.unlink(folder, name)

    def _folder(self) -> None:
        self.fs.mkdir(self._folder_number(), self.rng.choice(NAMES), 0o755)

    def _rename(self) -> None:
        places = self._places()
        if places:
            folder, name, _ = self.rng.choice(places)
            self.fs.rename(folder, name, self._folder_number(), self.rng.choice(NAMES))

    def _attribute(self) -> None:
        ino = self._file() or ROOT_INO
        key = self.rng.choice((b"user.a", b"user.b"))
        if self.rng.random() < 0.4:
            self.fs.remove_xattr(ino, key)
        else:
            self.fs.set_xattr(ino, key, self.rng.randbytes(5))

    def _cut(self) -> None:
        ino = self._file()
        if ino is not None:
            self.fs.truncate(ino, self.rng.choice((0, 100, 4000, SEGMENT_BYTES, 2 * SEGMENT_BYTES)))

    # --- trees ------------------------------------------------------------------------------

    def _name(self) -> str | None:
        names = [snapshot.name for snapshot in self.fs.snapshots()]
        return self.rng.choice(names) if names else None

    def snapshot(self) -> None:
        """Make one."""
        self.count += 1
        self.fs.create_snapshot(f"s{self.count}")

    def _delete(self) -> None:
        names = [snapshot.name for snapshot in self.fs.snapshots()]
        if names:
            self.fs.delete_snapshots(self.rng.sample(names, self.rng.randint(1, min(3, len(names)))))

    def clone(self) -> None:
        """Of any snapshot, at any place."""
        name = self._name()
        if name is not None and len(self.fs.table.clones()) < 4:
            with suppress(Exists):
                self.fs.clone(name, self._folder_number(), self.rng.choice(NAMES) + b"-clone")

    def drop(self) -> None:
        """Remove a clone."""
        clones = self.fs.table.clones()
        if clones:
            tree = self.fs.table.trees.get(self.rng.choice(clones))
            assert tree is not None
            self.fs.drop_clone(number_of(tree.id, tree.root))

    def rollback(self) -> None:
        """To any snapshot."""
        name = self._name()
        if name is not None:
            self.fs.rollback(name)

    def _settle(self) -> None:
        self.rng.choice((self.fs.checkpoint, self.fs.flush, self.fs.collect))()
