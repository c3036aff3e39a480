"""Which names of which inodes are on one side only, and what all of them are called.

Promises that names which changed come from the rows that changed. All others that have to be told are found
by reading through the folders that they lie in, each once for all that is wanted of it. Only folders that
one side has elsewhere, and those of a comparison by path, are walked through.
"""

from collections.abc import Iterable, Iterator

from vfs.backing.transaction import InodeRow
from vfs.errors import IndexDamaged
from vfs.numbers import TREE_SHIFT, tree_of
from vfs.snapshots.sides import LINKS, PARENT, Side, is_directory
from vfs.snapshots.tree_pairs import NEW, OLD, Key, TreePairs

Name = tuple[Key, bytes]
"""A folder, and the name there."""

ROWS = 1000
"""Entries of a folder that are fetched at a time."""

AT_ONCE = 100_000
"""Inodes whose names are looked for in one reading of a folder."""


class ChangedNames:
    """`names[OLD]` and `names[NEW]`: of each inode the names that it has on that side only."""

    def __init__(self, sides: tuple[Side, Side], pairs: TreePairs) -> None:
        self.sides = sides
        self.pairs = pairs
        self.names: tuple[dict[Key, set[Name]], dict[Key, set[Name]]] = ({}, {})
        self._kept: dict[Key, Name] = {}  # of folders that are called the same on both sides
        self.roots = tuple(pairs.key(side, sides[side].root) for side in (OLD, NEW))

    def row(self, side: int, key: Key) -> InodeRow | None:
        """The row of an inode on one side, None where it has none or no name."""
        number = self.pairs.number(side, key)
        return None if number is None else self.sides[side].inode(number)

    def fetch(self, keys: list[Key]) -> None:
        """Have the rows of these inodes of one slot at hand, at most ROWS_AT_ONCE."""
        for side in (OLD, NEW):
            numbers = (self.pairs.number(side, key) for key in keys)
            self.sides[side].fetch(number for number in numbers if number is not None)

    def lies_below(self, side: int, key: Key) -> bool:
        """Whether a folder is, or lies below, the root of that side."""
        number = self.pairs.number(side, key)
        return number is not None and self.sides[side].lies_below(number)

    # --- names that changed -----------------------------------------------------------------

    def look_up(self, parent: Key, name: bytes) -> None:
        """A name may lead elsewhere than it did."""
        leads = [self._leads_to(side, parent, name) for side in (OLD, NEW)]
        if leads[OLD] != leads[NEW]:
            for side, key in enumerate(leads):
                if key is not None:
                    self._add(side, key, (parent, name))

    def _leads_to(self, side: int, parent: Key, name: bytes) -> Key | None:
        number = self.pairs.number(side, parent)
        if number is None or not self.sides[side].lies_below(number):
            return None
        entry = self.sides[side].rows.entry(number, name)
        return None if entry is None else self.pairs.key(side, entry[0])

    def _add(self, side: int, key: Key, name: Name) -> None:
        row = self.row(side, key)
        if row is None:
            raise IndexDamaged(f"a folder names inode {self.pairs.number(side, key)}, which does not exist")
        if is_directory(row) and row[PARENT] != self.pairs.number(side, name[0]):
            raise IndexDamaged(f"a folder names folder {row[0]}, which lies elsewhere")
        self.names[side].setdefault(key, set()).add(name)

    def walk_moved(self) -> None:
        """Folders that came into a root, or left it, took all with them that is in them: add its names."""
        for side in (OLD, NEW):
            other = NEW if side == OLD else OLD
            if self.pairs.by_path:
                self._walk(side, [self.roots[side]])
            else:
                moved = [key for key in self.names[side] if self._is_elsewhere(other, key)]
                self._walk(side, moved)

    def _is_elsewhere(self, side: int, key: Key) -> bool:
        row = self.row(side, key)
        return row is not None and is_directory(row) and not self.lies_below(side, key)

    def _walk(self, side: int, folders: list[Key]) -> None:
        other = NEW if side == OLD else OLD
        seen = set(folders)
        while folders:
            folder = folders.pop()
            for name, key in self._entries(side, folder):
                self._add(side, key, (folder, name))
                row = self.row(side, key)
                if row is None or not is_directory(row) or key in seen or self.lies_below(other, key):
                    continue
                if self.pairs.by_path or not self.pairs.crosses(folder, key):
                    seen.add(key)
                    folders.append(key)

    def _entries(self, side: int, folder: Key) -> Iterator[tuple[bytes, Key]]:
        number = self.pairs.number(side, folder)
        assert number is not None, "its entry was found there"
        cookie = 2
        while rows := self.sides[side].rows.entries_after(number, cookie, ROWS):
            for name, ino, _, _ in rows:
                yield name, self.pairs.key(side, ino)
            cookie = rows[-1][2]

    # --- names that did not -----------------------------------------------------------------

    def kept_names(self, keys: Iterable[Key]) -> dict[Key, list[Name]]:
        """Names that both sides have of inodes that both have: all that lie in the folder that the inode
        says it lies in, else all that there are. None of an inode that lies outside of the roots."""
        found: dict[Key, list[Name]] = {}
        lost: dict[int, list[Key]] = {}
        for parent, inside in self._by_parent(keys).items():
            for key, names in self._names_in(parent, inside).items():
                below = [name for name in names if self._is_kept(key, name)]
                row = self.row(NEW, key)
                known = len({*names, *self.names[NEW].get(key, ())})
                if below:
                    found[key] = below
                elif row is not None and not is_directory(row) and known < row[LINKS]:
                    lost.setdefault(key >> TREE_SHIFT, []).append(key)
        for missing in lost.values():
            found.update(self._names_anywhere(missing))
        return found

    def _is_kept(self, key: Key, name: Name) -> bool:
        return self.lies_below(NEW, name[0]) and name not in self.names[NEW].get(key, ())

    def _by_parent(self, keys: Iterable[Key]) -> dict[Key, list[Key]]:
        inside: dict[Key, list[Key]] = {}
        for key in keys:
            row = self.row(NEW, key)
            if row is not None:
                inside.setdefault(self.pairs.key(NEW, row[PARENT]), []).append(key)
        return inside

    def _names_in(self, parent: Key, keys: list[Key]) -> dict[Key, list[Name]]:
        number = self.pairs.number(NEW, parent)
        found: dict[Key, list[Name]] = {key: [] for key in keys}
        if number is None:
            return found
        for first in range(0, len(keys), AT_ONCE):
            wanted = {self._new_number(key) for key in keys[first : first + AT_ONCE]}
            for name, child in self.sides[NEW].rows.names_in(number, wanted):
                found[self.pairs.key(NEW, child)].append((parent, name))
        return found

    def _names_anywhere(self, keys: list[Key]) -> dict[Key, list[Name]]:
        found: dict[Key, list[Name]] = {}
        for first in range(0, len(keys), AT_ONCE):
            wanted = {self._new_number(key) for key in keys[first : first + AT_ONCE]}
            for parent, name, child in self.sides[NEW].rows.names_anywhere(tree_of(min(wanted)), wanted):
                key, place = self.pairs.key(NEW, child), (self.pairs.key(NEW, parent), name)
                if self._is_kept(key, place):
                    found.setdefault(key, []).append(place)
        return found

    def _new_number(self, key: Key) -> int:
        number = self.pairs.number(NEW, key)
        assert number is not None, "it has a row there"
        return number

    # --- paths ------------------------------------------------------------------------------

    def learn_folders(self, folders: Iterable[Key]) -> None:
        """Find what these, and the folders above them, are called, where that is the same on both sides."""
        waiting = set(folders)
        seen: set[Key] = set()
        wanted: set[Key] = set()
        while waiting:
            folder = waiting.pop()
            seen.add(folder)
            for side in (OLD, NEW):
                if folder in self.names[side]:
                    waiting.add(self._only(side, folder)[0])
                elif folder not in self.roots and self.lies_below(side, folder):
                    row = self.row(side, folder)
                    assert row is not None, "it lies somewhere"
                    wanted.add(folder)
                    waiting.add(self.pairs.key(side, row[PARENT]))
            waiting -= seen
        for key, names in self.kept_names(wanted - self._kept.keys()).items():
            self._kept[key] = names[0]

    def _only(self, side: int, folder: Key) -> Name:
        found = self.names[side].get(folder)
        name = self._kept.get(folder) if found is None else min(found)
        if name is None:
            raise IndexDamaged(f"folder {self.pairs.number(side, folder)} lies in a folder without that name")
        return name

    def path(self, side: int, name: Name) -> bytes:
        """The path of a name on that side, from its root; its folder must be learned."""
        return b"/".join(self._parts(side, name))

    def place(self, name: Name) -> bytes:
        """Where an old name would lie now: the path of its folder as it is called now, where it is there."""
        parts: list[bytes] = []
        while True:
            parent, last = name
            parts.append(last)
            if parent in self.roots:
                return b"/".join(reversed(parts))
            if self.lies_below(NEW, parent):
                return b"/".join([*self._parts(NEW, self._only(NEW, parent)), *reversed(parts)])
            name = self._only(OLD, parent)

    def _parts(self, side: int, name: Name) -> list[bytes]:
        parts: list[bytes] = []
        while True:
            parent, last = name
            parts.append(last)
            if parent == self.roots[side]:
                return parts[::-1]
            name = self._only(side, parent)
