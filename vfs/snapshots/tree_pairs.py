"""Which trees of two sides are to be compared with each other, and one number for what is in both.

Promises that an inode which both sides have gets the same *key*, and all others keys of their own. Two trees
belong together when they are the two roots', one live tree at two moments, or lie in the same place and
began as the same folder. Where the two roots are different folders nothing belongs together: then all of
both is looked through, and paired by path. Never reads content.
"""

from vfs.backing.trees import Chain, Tree
from vfs.numbers import LOCAL_MASK, TREE_SHIFT, local_of, tree_of
from vfs.snapshots.sides import PARENT, Side

OLD, NEW = 0, 1
"""The two sides: what it was, what it is."""

Key = int
"""slot << 40 | local: an inode, in whichever of the two trees of the slot."""

Place = tuple[Key, bytes, int]
"""Of a clone: its folder, its name there, and its root."""


class TreePairs:
    """The pairs (*slots*) of the trees of two sides."""

    def __init__(self, sides: tuple[Side, Side]) -> None:
        self._sides = sides
        self._slots: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._trees: list[list[int | None]] = []
        old, new = sides
        self.by_path = local_of(old.root) != local_of(new.root)
        """The roots are different folders."""
        if self.by_path:
            self._alone(OLD, [old.tree, *(tree.id for tree in old.nested())])
            self._alone(NEW, [new.tree, *(tree.id for tree in new.nested())])
        else:
            self._pair(old.tree, new.tree)
            self._pair_nested({tree.id: tree for tree in old.nested()}, {t.id: t for t in new.nested()})

    # --- pairing ----------------------------------------------------------------------------

    def _pair(self, old: int, new: int) -> None:
        self._slots[OLD][old] = self._slots[NEW][new] = len(self._trees)
        self._trees.append([old, new])

    def _alone(self, side: int, trees: list[int]) -> None:
        for tree in trees:
            self._slots[side][tree] = len(self._trees)
            self._trees.append([tree, None] if side == OLD else [None, tree])

    def _pair_nested(self, old: dict[int, Tree], new: dict[int, Tree]) -> None:
        """Outer ones first: what lies in a clone that one side lacks is told with that one."""
        while found := self._same_sources(old, new) or self._same_places(old, new):
            for one, other in found:
                self._pair(one, other)
                del old[one], new[other]
        self._alone(OLD, list(old))
        self._alone(NEW, list(new))

    def _same_sources(self, old: dict[int, Tree], new: dict[int, Tree]) -> list[tuple[int, int]]:
        sources = {tree.source: tree.id for tree in new.values()}
        candidates = [(tree.id, sources[tree.source]) for tree in old.values() if tree.source in sources]
        return [
            (one, other)
            for one, other in candidates
            if self._folder(OLD, old[one]) is not None and self._folder(NEW, new[other]) is not None
        ]

    def _same_places(self, old: dict[int, Tree], new: dict[int, Tree]) -> list[tuple[int, int]]:
        if not old or not new:
            return []
        places = self._places(OLD, old)
        return [(places[place], tree) for place, tree in self._places(NEW, new).items() if place in places]

    def _folder(self, side: int, tree: Tree) -> int | None:
        """The folder that the root of a tree lies in, if that is of a pair."""
        row = self._sides[side].inode(tree.root_ino)
        return row[PARENT] if row is not None and tree_of(row[PARENT]) in self._slots[side] else None

    def _places(self, side: int, trees: dict[int, Tree]) -> dict[Place, int]:
        """Where those of the trees lie whose folder is of a pair."""
        rows = self._sides[side].rows
        places: dict[Place, int] = {}
        for tree in trees.values():
            folder = self._folder(side, tree)
            if folder is not None:
                key = self.key(side, folder)
                names = rows.names_in(folder, [tree.root_ino])
                places.update(((key, name, tree.root), tree.id) for name, _ in names)
        return places

    # --- looking ----------------------------------------------------------------------------

    def key(self, side: int, number: int) -> Key:
        """The key of an inode of one side."""
        tree = tree_of(number)
        slot = self._slots[side].get(tree)
        if slot is None:  # not below the root, so nothing of the other side is the same
            self._alone(side, [tree])
            slot = self._slots[side][tree]
        return slot << TREE_SHIFT | number & LOCAL_MASK

    def number(self, side: int, key: Key) -> int | None:
        """Its number on one side; None where its tree has no counterpart there."""
        tree = self._trees[key >> TREE_SHIFT][side]
        return None if tree is None else tree << TREE_SHIFT | key & LOCAL_MASK

    def is_tree_root(self, side: int, key: Key) -> bool:
        """Whether that is the root of a tree."""
        number = self.number(side, key)
        tree = None if number is None else self._sides[side].rows.trees.get(tree_of(number))
        return tree is not None and tree.root_ino == number

    def crosses(self, parent: Key, key: Key) -> bool:
        """Whether that is the root of another tree than its folder is of: a clone."""
        return parent >> TREE_SHIFT != key >> TREE_SHIFT

    def chains(self) -> list[tuple[int, Chain, Chain]]:
        """(slot, chain, chain) of all pairs."""
        found = []
        for slot, (old, new) in enumerate(self._trees):
            if old is not None and new is not None:
                old_tree, new_tree = (
                    self._sides[OLD].rows.trees.get(old),
                    self._sides[NEW].rows.trees.get(new),
                )
                assert old_tree is not None, "pairs are of trees"
                assert new_tree is not None, "pairs are of trees"
                found.append((slot, old_tree.chain, new_tree.chain))
        return found
