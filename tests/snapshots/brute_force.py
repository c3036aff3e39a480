"""What differs between two folders of a store, found by walking through all of both and reading everything.

Knows inodes, names and bytes as the library gives them, and nothing of rows, branches and generations.
"""

import stat
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from vfs.filesystem import FileSystem
from vfs.inode.inode import Inode

Id = tuple[Any, int]
"""(tree, as both sides call it; local number)."""


class Line(NamedTuple):
    """A difference, less sizes."""

    kind: str
    path: bytes
    old_path: bytes | None
    changes: tuple[str, ...]


class Found:
    """All that lies below one folder."""

    def __init__(self, fs: FileSystem, word: str) -> None:
        self.fs = fs
        name, _, path = word.partition(":")
        self.root = fs.resolve(word if word.startswith("/") else f".snapshots/{name}/{path}").ino
        self.entries: dict[tuple[int, bytes], int] = {}
        """(folder, name) -> inode"""
        self.paths: dict[tuple[int, bytes], bytes] = {}
        self._walk(self.root, b"")

    def _walk(self, folder: int, path: bytes) -> None:
        cookie = 2
        while rows := self.fs.readdir(folder, cookie):
            for name, ino, _, kind in rows:
                inner = path + b"/" + name if path else name
                self.entries[folder, name] = ino
                self.paths[folder, name] = inner
                if kind == stat.S_IFDIR >> 12:
                    self._walk(ino, inner)
            cookie = rows[-1][2]

    def nested(self) -> dict[int, tuple[int, bytes]]:
        """Clones: tree -> where its root is."""
        return {ino >> 40: place for place, ino in self.entries.items() if ino >> 40 != place[0] >> 40}

    def state(self, ino: int) -> dict[str, Any]:
        inode = self.fs.get(ino)
        content: Any = (inode.target, inode.rdev)
        if inode.is_file:
            content = b"".join(bytes(self.fs.read(ino, at, 1 << 20)) for at in range(0, inode.size, 1 << 20))
        return {
            "content": content,
            "mode": stat.S_IMODE(inode.mode),
            "owner": (inode.uid, inode.gid),
            "xattr": dict(self.fs.table.xattrs(inode)),
        }

    def inode(self, ino: int) -> Inode:
        return self.fs.get(ino)


def labels(old: Found, new: Found) -> tuple[dict[int, Any], dict[int, Any]]:
    """What both sides call a tree that they have in common; a tree of one side is not named."""
    fs = old.fs
    names: tuple[dict[int, Any], dict[int, Any]] = {old.root >> 40: "root"}, {new.root >> 40: "root"}
    trees = fs.table.trees

    def source(tree: int) -> int:
        found = trees.get(tree)
        assert found is not None
        return found.source

    left, right = old.nested(), new.nested()

    def pair(is_same: Callable[[int, int], bool], label: Callable[[int], Any]) -> bool:
        found = [
            (tree, other)
            for tree, (folder, _) in left.items()
            for other, (other_folder, _) in right.items()
            if folder >> 40 in names[0] and other_folder >> 40 in names[1]
            if tree not in names[0] and other not in names[1] and is_same(tree, other)
        ]
        for tree, other in found:
            names[0][tree] = names[1][other] = label(tree)
        return bool(found)

    def same_place(tree: int, other: int) -> bool:
        (folder, name), (other_folder, other_name) = left[tree], right[other]
        numbers = [(old.entries[left[tree]], new.entries[right[other]]), (folder, other_folder)]
        alike = all((one ^ two) % 2**40 == 0 for one, two in numbers)
        return alike and name == other_name and names[0][folder >> 40] == names[1][other_folder >> 40]

    while pair(lambda tree, other: source(tree) == source(other), source) or pair(
        same_place, lambda tree: ("placed", tree)
    ):
        pass
    return names


class Compared:
    """The comparison."""

    def __init__(self, fs: FileSystem, old_word: str, new_word: str) -> None:
        self.sides = Found(fs, old_word), Found(fs, new_word)
        old, new = self.sides
        self.by_path = old.root % 2**40 != new.root % 2**40
        self.labels = labels(old, new)
        self.objects: tuple[dict[Id, set[tuple[Id, bytes]]], ...] = ({}, {})
        self.numbers: tuple[dict[Id, int], dict[Id, int]] = ({}, {})
        self.paths: tuple[dict[tuple[Id, bytes], bytes], ...] = ({}, {})
        for side, found in enumerate(self.sides):
            self.numbers[side][self.id(side, found.root)] = found.root
            for (folder, name), ino in found.entries.items():
                if not self.by_path and folder >> 40 not in self.labels[side]:
                    continue  # in a clone that only one side has
                place = self.id(side, folder), name
                self.objects[side].setdefault(self.id(side, ino), set()).add(place)
                self.numbers[side][self.id(side, ino)] = ino
                self.paths[side][place] = found.paths[folder, name]

    def id(self, side: int, ino: int) -> Id:
        tree = ino >> 40
        alone = (side, tree)
        return (alone if self.by_path else self.labels[side].get(tree, alone)), ino % 2**40

    def changes(self, old: Id, new: Id) -> tuple[str, ...]:
        states = self.sides[0].state(self.numbers[0][old]), self.sides[1].state(self.numbers[1][new])
        is_folder = self.sides[0].inode(self.numbers[0][old]).is_directory
        return tuple(
            what
            for what in ("content", "mode", "owner", "xattr")
            if states[0][what] != states[1][what] and not (what == "content" and is_folder)
        )

    def lines(self) -> tuple[set[Line], list[tuple[set[bytes], Line]]]:
        """Lines that there must be, and (paths, line): at least one of these paths has that line."""
        must: set[Line] = set()
        any_of: list[tuple[set[bytes], Line]] = []
        removed: list[tuple[Id, tuple[Id, bytes]]] = []
        added: dict[bytes, Id] = {}
        for each in self.objects[0].keys() | self.objects[1].keys():
            old, new = self.objects[0].get(each, set()), self.objects[1].get(each, set())
            gone, came = sorted(old - new, key=self._order), sorted(new - old, key=self._order)
            both = min(len(gone), len(came))
            for one, other in zip(gone, came, strict=False):
                must |= set(self._renamed(each, self.paths[0][one], self.paths[1][other]))
            removed += [(each, place) for place in gone[both:]]
            added.update({self.paths[1][place]: each for place in came[both:]})
            if old & new and (changes := self.changes(each, each)):
                paths = {self.paths[1][place] for place in old & new}
                any_of.append((paths, Line("changed", b"", None, changes)))
        roots = [self.id(side, found.root) for side, found in enumerate(self.sides)]
        if changes := self.changes(roots[0], roots[1]):
            must.add(Line("changed", b"", None, changes))
        must |= set(self._replaced(removed, added))
        return must, any_of

    def _order(self, place: tuple[Id, bytes]) -> tuple[int, bytes]:
        return place[0][1], place[1]

    def _renamed(self, each: Id, old: bytes, new: bytes) -> Iterator[Line]:
        changes = self.changes(each, each)
        if old != new:
            yield Line("renamed", new, old, changes)
        elif changes:
            yield Line("changed", new, None, changes)

    def _replaced(self, removed: list[tuple[Id, tuple[Id, bytes]]], added: dict[bytes, Id]) -> Iterator[Line]:
        stays = self.objects[1].keys() | {self.id(1, self.sides[1].root)}
        removed.sort(key=lambda each: each[1][0] not in stays)
        for each, place in removed:
            here = self._place(place)
            other = added.get(here)
            if other is None or not self._alike(each, other):
                yield Line("removed", self.paths[0][place], None, ())
                continue
            del added[here]
            if changes := self.changes(each, other):
                yield Line("changed", here, None, changes)
        yield from (Line("added", path, None, ()) for path in added)

    def _alike(self, old: Id, new: Id) -> bool:
        modes = [
            self.sides[side].inode(self.numbers[side][each]).mode for side, each in enumerate((old, new))
        ]
        clones = not self.by_path and any(
            self.numbers[side][each] in {found.entries[place] for place in found.nested().values()}
            for side, (each, found) in enumerate(zip((old, new), self.sides, strict=True))
        )
        return stat.S_IFMT(modes[0]) == stat.S_IFMT(modes[1]) and not clones

    def _place(self, place: tuple[Id, bytes]) -> bytes:
        """Where an old name would be now."""
        folder, name = place
        if folder in {self.id(side, found.root) for side, found in enumerate(self.sides)}:
            return name
        now = self.objects[1].get(folder)
        if now:
            return self.paths[1][min(now, key=self._order)] + b"/" + name
        return self._place(min(self.objects[0][folder], key=self._order)) + b"/" + name


def check(fs: FileSystem, old: str, new: str) -> int:
    """Compare `fs.diff` with all that there is; returns how many lines it had."""
    found = [Line(each.kind, each.path, each.old_path, each.changes) for each in fs.diff(old, new)]
    assert [each.path.split(b"/") for each in found] == sorted(each.path.split(b"/") for each in found)
    must, any_of = Compared(fs, old, new).lines()
    rest = set(found)
    assert len(rest) == len(found), "no line twice"
    missing = must - rest
    assert not missing, (old, new, missing, found)
    rest -= must
    for paths, line in any_of:
        told = {line._replace(path=path) for path in paths} & rest
        assert told, (old, new, paths, line, found)
        rest -= told
    assert not rest, (old, new, rest, must)
    return len(found)
