"""What differs between two states of a folder: added, removed, changed and renamed files, links and folders.

Promises right answers in a time that grows with what changed, not with what there is, and memory likewise.
Never writes; reads content only where two files have the same size and their maps differ. `names` says how
paths are found, `comparing` what a change is.

An inode that both sides have is the same one: under another name or in another folder it was *renamed*, and
what lies in a renamed folder is not told again. Where one inode went and another one of the same kind came
under the same path (what an editor does that writes a new file and renames it over the old one) that file was
*changed*, if it is any different. Of a changed file with several names those in one of its folders are told.
"""

import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from vfs.backing.difference_rows import DifferenceRows
from vfs.numbers import TREE_SHIFT, local_of
from vfs.snapshots.changed_names import ChangedNames, Name
from vfs.snapshots.comparing import Comparing, Read, file_size
from vfs.snapshots.kinds import ADDED, CHANGED, CLONE, REMOVED, RENAMED
from vfs.snapshots.sides import LINKS, ROWS_AT_ONCE, Side, find_folder, is_directory
from vfs.snapshots.tree_pairs import NEW, OLD, Key, TreePairs

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}

LOOK_EVERY = 256
"""Inodes between two looks whether anybody still wants the answer."""


class Difference(NamedTuple):
    """One difference. Paths are relative to the folders that are compared; b"" is these themselves."""

    kind: str
    """ADDED, REMOVED, CHANGED or RENAMED."""
    path: bytes
    """Where it is now; of what was removed: where it was."""
    old_path: bytes | None
    """Of what was renamed: where it was."""
    type: str
    """One of TYPES, or CLONE."""
    changes: tuple[str, ...]
    """Of what is on both sides: what differs, of "content", "mode", "owner", "xattr"."""
    old_size: int
    """Of a regular file, in bytes; 0 where there is none."""
    size: int


def compare(
    rows: DifferenceRows, old: str, new: str, read: Read, on_step: Callable[[], None] = lambda: None
) -> list[Difference]:
    """The differences between two folders (`sides` says how they are named), ordered by path. `on_step` is
    called now and then, and may raise to end it."""
    sides = Side(rows, find_folder(rows, old)), Side(rows, find_folder(rows, new))
    return _Diff(sides, Comparing(rows, read), on_step).run()


class _Diff:
    """One comparison."""

    def __init__(self, sides: tuple[Side, Side], comparing: Comparing, on_step: Callable[[], None]) -> None:
        self._rows = sides[NEW].rows
        self._pairs = TreePairs(sides)
        self._names = ChangedNames(sides, self._pairs)
        self._comparing = comparing
        self._on_step = on_step
        self._found: list[Difference] = []
        self._removed: list[tuple[Key, Name]] = []
        self._added: list[tuple[Key, Name]] = []
        self._renamed: list[tuple[Key, Name, Name]] = []

    def run(self) -> list[Difference]:
        for slot, old, new in self._pairs.chains():
            for local, name in self._rows.changed_entries(old, new):
                self._names.look_up(slot << TREE_SHIFT | local, name)
        if self._pairs.by_path:
            self._tell_roots()
        self._names.walk_moved()
        old_names, new_names = self._names.names
        self._match_names(old_names.keys() | new_names.keys())
        self._learn()
        self._tell_renamed()
        self._tell_replaced()
        self._tell_kept()
        self._found.sort(key=lambda found: (found.path.split(b"/"), found.kind))
        return self._found

    # --- names ------------------------------------------------------------------------------

    def _match_names(self, keys: Iterable[Key]) -> None:
        """An old name of an inode and a new one of it are a renaming, as far as there are both."""
        old_names, new_names = self._names.names
        for key in keys:
            old, new = sorted(old_names.get(key, ())), sorted(new_names.get(key, ()))
            both = min(len(old), len(new))
            self._renamed += [(key, *pair) for pair in zip(old, new, strict=False)]
            self._removed += [(key, name) for name in old[both:]]
            self._added += [(key, name) for name in new[both:]]

    def _learn(self) -> None:
        folders = {name[0] for _, name in (*self._removed, *self._added)}
        folders.update(name[0] for _, *names in self._renamed for name in names)
        self._names.learn_folders(folders)

    # --- what is told -----------------------------------------------------------------------

    def _changes(self, old: Key, new: Key) -> tuple[str, ...]:
        rows = self._names.row(OLD, old), self._names.row(NEW, new)
        return () if rows[0] is None or rows[1] is None else self._comparing.changes(rows[0], rows[1])

    def _tell(
        self,
        kind: str,
        path: bytes,
        keys: tuple[Key | None, Key | None],
        changes: tuple[str, ...] = (),
        old_path: bytes | None = None,
    ) -> None:
        rows = [None if key is None else self._names.row(side, key) for side, key in enumerate(keys)]
        row = rows[NEW] or rows[OLD]
        assert row is not None, "it is on one side at least"
        type_ = CLONE if self._is_clone(keys) else TYPES.get(stat.S_IFMT(row[1]), "strange")
        sizes = file_size(rows[OLD]), file_size(rows[NEW])
        self._found.append(Difference(kind, path, old_path, type_, changes, *sizes))

    def _is_clone(self, keys: tuple[Key | None, Key | None]) -> bool:
        """Whether that is the root of a clone, which is told as one."""
        if self._pairs.by_path:
            return False  # all that is in it is told as well
        return any(
            key is not None and key not in self._names.roots and self._pairs.is_tree_root(side, key)
            for side, key in enumerate(keys)
        )

    def _tell_roots(self) -> None:
        old, new = self._names.roots
        changes = self._changes(old, new)
        if changes:
            self._tell(CHANGED, b"", (old, new), changes)

    def _tell_renamed(self) -> None:
        for key, old, new in self._renamed:
            old_path, path = self._names.path(OLD, old), self._names.path(NEW, new)
            changes = self._changes(key, key)
            if old_path != path:
                self._tell(RENAMED, path, (key, key), changes, old_path)
            elif changes:  # its folder went, and another one has the name now
                self._tell(CHANGED, path, (key, key), changes)

    def _tell_replaced(self) -> None:
        """What went and what came, and what both did under one path."""
        came = {self._names.path(NEW, name): key for key, name in self._added}
        there_first = sorted(self._removed, key=lambda each: not self._names.lies_below(NEW, each[1][0]))
        for step, (key, name) in enumerate(there_first):
            self._step(step)
            place = self._names.place(name)
            other = came.get(place)
            if other is None or not self._may_replace(key, other):
                self._tell(REMOVED, self._names.path(OLD, name), (key, None))
                continue
            del came[place]
            changes = self._changes(key, other)
            if changes:
                self._tell(CHANGED, place, (key, other), changes)
        for path, key in came.items():
            self._tell(ADDED, path, (None, key))

    def _may_replace(self, old: Key, new: Key) -> bool:
        rows = self._names.row(OLD, old), self._names.row(NEW, new)
        if rows[0] is None or rows[1] is None or self._is_clone((old, None)) or self._is_clone((None, new)):
            return False
        return stat.S_IFMT(rows[0][1]) == stat.S_IFMT(rows[1][1])

    def _tell_kept(self) -> None:
        """What changed under a name that both sides have."""
        found: dict[Key, tuple[str, ...]] = {}
        for slot, old, new in self._pairs.chains():
            changed = [slot << TREE_SHIFT | local for local in self._rows.changed_inodes(old, new)]
            parts = self._rows.changed_parts(old, new) if changed else set()
            for first in range(0, len(changed), ROWS_AT_ONCE):
                keys = changed[first : first + ROWS_AT_ONCE]
                self._names.fetch(keys)
                found.update(self._changed_in_place(keys, parts))
        root = self._names.roots[NEW]
        if root in found:
            self._tell(CHANGED, b"", (root, root), found.pop(root))
        kept = self._names.kept_names(found)
        self._names.learn_folders({name[0] for names in kept.values() for name in names})
        for key, names in kept.items():
            for name in names:
                self._tell(CHANGED, self._names.path(NEW, name), (key, key), found[key])

    def _changed_in_place(
        self, keys: Iterable[Key], parts: set[int]
    ) -> Iterator[tuple[Key, tuple[str, ...]]]:
        """Those of the inodes that changed and have a name that both sides have. `parts`: local numbers of
        those of which more than the row may differ: most others were only read."""
        old_names, new_names = self._names.names
        for step, key in enumerate(keys):
            self._step(step)
            old, new = self._names.row(OLD, key), self._names.row(NEW, key)
            if old is None or new is None:
                continue
            gone, came = len(old_names.get(key, ())), len(new_names.get(key, ()))
            has_kept = old[LINKS] > gone and new[LINKS] > came and not is_directory(new)
            if (gone or came) and not has_kept:
                continue
            changes = self._comparing.changes(old, new, rows_alone=local_of(key) not in parts)
            if changes:
                yield key, changes

    def _step(self, step: int) -> None:
        if step % LOOK_EVERY == 0:
            self._on_step()
