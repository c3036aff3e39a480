"""Node ids across rollbacks: what is stale, what gets a new id, and when a number is plain again."""

import stat
from collections.abc import Iterator

import pytest

from vfs.errors import NoEntry, Stale
from vfs.inode.inode import Inode
from vfs.limits import ROOT_INO
from vfs.mount.nodes import NodeIds
from vfs.numbers import KERNEL_TREE, number_of
from vfs.snapshots.rolled_back import Held, RolledBack

FILE, FOLDER = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755


class Inodes:
    """Inodes that come and go as a test says; its own table."""

    def __init__(self) -> None:
        self.inodes: dict[int, Inode] = {}
        self.file(ROOT_INO, mode=FOLDER)

    @property
    def table(self) -> "Inodes":
        return self

    def get(self, ino: int) -> Inode:
        if ino not in self.inodes:
            raise NoEntry(f"inode {ino}")
        return self.inodes[ino]

    def in_memory(self, ino: int) -> Inode | None:
        return self.inodes.get(ino)

    def loaded(self) -> Iterator[Inode]:
        return iter(list(self.inodes.values()))

    def is_held(self, number: int) -> bool:
        return number in self.inodes and self.inodes[number].held

    def knows(self, number: int) -> bool:
        return number in self.inodes

    def forget(self, ino: int, count: int) -> None:
        self.inodes[ino].lookups -= count

    def release(self, ino: int) -> None:
        self.inodes[ino].opens -= 1

    def drop_if_unheld(self, inode: Inode) -> None:
        if not inode.nlink and not inode.held:
            del self.inodes[inode.ino]

    # --- what a test does to them -------------------------------------------------------------

    def file(self, ino: int, *, lookups: int = 1, opens: int = 0, mode: int = FILE) -> Inode:
        row = (ino, mode, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, ROOT_INO, 3, None)
        inode = self.inodes[ino] = Inode(row, persisted=True)
        inode.lookups, inode.opens = lookups, opens
        return inode

    def gone(self, ino: int) -> Held:
        """A rollback took it away."""
        inode = self.inodes.pop(ino)
        return Held(ino, inode.lookups, inode.opens, exists=False, nameless=not inode.nlink)

    def changed(self, ino: int) -> Held:
        """A rollback made another content of it."""
        held = self.gone(ino)
        self.file(ino, lookups=0)
        return held._replace(exists=True)


def rolled(*stale: Held, kept: tuple[int, ...] = ()) -> RolledBack:
    return RolledBack("before", list(stale), list(kept), [])


@pytest.fixture
def fs() -> Inodes:
    return Inodes()


@pytest.fixture
def nodes(fs: Inodes) -> NodeIds:
    return NodeIds(fs)


def test_ids_are_numbers_until_a_rollback_touches_what_is_known(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5)
    fs.file(6, lookups=0)
    assert not nodes.renumbered
    assert (nodes.number(5), nodes.node(5)) == (5, 5)
    assert nodes.follow(rolled(fs.changed(6))) == ([], [], [])
    assert not nodes.renumbered


def test_a_changed_file_is_stale_and_has_a_new_id(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5, lookups=2, opens=1)
    assert nodes.follow(rolled(fs.changed(5))) == ([], [5], [])
    with pytest.raises(Stale):
        nodes.number(5)
    new = nodes.node(5)
    assert new == number_of(KERNEL_TREE, 1)
    assert nodes.number(new) == 5
    assert nodes.node(5) == new


def test_a_file_that_is_gone_is_stale_and_forgotten_with_its_last_hold(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5, lookups=3, opens=2)
    nodes.follow(rolled(fs.gone(5)))
    nodes.forget(5, 2)
    nodes.release(5)
    nodes.forget(5, 1)  # a close may come after the last forget
    with pytest.raises(Stale):
        nodes.number(5)
    assert nodes.renumbered
    nodes.release(5)
    assert not nodes.renumbered


@pytest.mark.parametrize("old_first", [True, False])
def test_a_number_is_plain_again_when_both_ids_are_forgotten(
    fs: Inodes, nodes: NodeIds, old_first: bool
) -> None:
    fs.file(5)
    nodes.follow(rolled(fs.changed(5)))
    new = nodes.node(5)
    inode = fs.get(5)
    inode.lookups += 1
    inode.view = (0, "told under the new id")
    first, second = (5, new) if old_first else (new, 5)
    nodes.forget(first, 1)
    assert nodes.node(5) == new
    nodes.forget(second, 1)
    assert nodes.node(5) == 5
    assert not nodes.renumbered
    assert fs.get(5).view is None
    fs.file(6)
    nodes.follow(rolled(fs.changed(6)))
    assert nodes.node(6) != new  # nothing else is ever called so
    with pytest.raises(Stale):
        nodes.number(new)


def test_every_rollback_makes_the_id_of_before_stale(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5)
    known = [5]
    for _ in range(3):
        assert nodes.follow(rolled(fs.changed(5))).nodes == known[-1:]
        known.append(nodes.node(5))
        fs.get(5).lookups += 1
        assert nodes.number(known[-1]) == 5
        for node in known[:-1]:
            with pytest.raises(Stale):
                nodes.number(node)
    assert len(set(known)) == 4
    for node in known:
        nodes.forget(node, 1)
    assert not nodes.renumbered


def test_a_file_that_comes_back_has_a_new_id_while_the_old_one_is_known(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5)
    nodes.follow(rolled(fs.gone(5)))
    fs.file(5, lookups=0)
    assert nodes.follow(rolled()).nodes == []
    new = nodes.node(5)
    assert new != 5
    assert nodes.number(new) == 5
    nodes.forget(5, 1)
    assert nodes.node(5) == 5


def test_directories_keep_their_ids_also_over_their_absence(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5, lookups=2, opens=1, mode=FOLDER)
    assert nodes.follow(rolled(kept=(5,))).nodes == [5]
    assert nodes.number(5) == 5
    assert not nodes.renumbered
    assert nodes.follow(rolled(fs.gone(5))).nodes == [5]
    with pytest.raises(Stale):
        nodes.number(5)
    nodes.release(5)
    nodes.forget(5, 1)
    fs.file(5, lookups=0, mode=FOLDER)
    assert nodes.follow(rolled()).nodes == [5]
    assert nodes.number(5) == 5
    assert (fs.get(5).lookups, fs.get(5).opens) == (1, 0)
    assert not nodes.renumbered


def test_a_directory_that_the_kernel_has_removed_comes_back_under_a_new_id(
    fs: Inodes, nodes: NodeIds
) -> None:
    fs.file(5, mode=FOLDER).nlink = 0
    assert nodes.follow(rolled(fs.gone(5))).nodes == [5]
    fs.file(5, lookups=0, mode=FOLDER)
    assert nodes.follow(rolled()).nodes == []
    with pytest.raises(Stale):
        nodes.number(5)
    new = nodes.node(5)
    assert nodes.number(new) == 5
    fs.get(5).lookups += 1
    outdated = nodes.follow(RolledBack("before", [], [5], [(5, b"name"), (ROOT_INO, b"other")]))
    assert outdated == ([(new, b"name"), (ROOT_INO, b"other")], [new], [])


def test_a_suspect_that_is_written_to_is_stale_and_one_that_was_cleared_goes_on(
    fs: Inodes, nodes: NodeIds
) -> None:
    fs.file(5, opens=1)
    fs.file(6, opens=1)
    fs.file(7, opens=1, mode=FOLDER)
    fs.file(8)
    assert nodes.follow(rolled()).suspects == [5, 6]
    assert nodes.number(5) == 5  # to read is no offence
    with pytest.raises(Stale):
        nodes.written(5)
    with pytest.raises(Stale):
        nodes.number(5)
    assert nodes.number(nodes.node(5)) == 5
    assert not nodes.cleared(5)
    assert nodes.cleared(6)
    assert nodes.written(6) == 6
    assert nodes.written(8) == 8
    nodes.forget(5, 1)
    nodes.release(5)
    assert not nodes.renumbered


def test_a_suspect_without_a_name_goes_when_it_is_found_guilty(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5, opens=1).nlink = 0
    nodes.follow(rolled())
    with pytest.raises(Stale):
        nodes.written(5)
    assert fs.in_memory(5) is None


def test_what_the_kernel_has_not_forgotten_is_told_again(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5)
    fs.file(6)
    fs.file(7, mode=FOLDER)
    outdated = nodes.follow(rolled(fs.changed(5), fs.gone(6), kept=(7,)))
    assert nodes.unforgotten(outdated.nodes) == [5, 6, 7]
    nodes.forget(6, 1)
    nodes.forget(7, 1)
    assert nodes.unforgotten(outdated.nodes) == [5]


def test_an_id_of_before_is_forgotten_although_its_inode_is_held_under_a_new_one(
    fs: Inodes, nodes: NodeIds
) -> None:
    fs.file(5)
    outdated = nodes.follow(rolled(fs.changed(5)))
    new = nodes.node(5)
    fs.get(5).lookups += 1
    assert nodes.unforgotten([*outdated.nodes, new]) == [5, new]
    nodes.forget(5, 1)
    assert nodes.unforgotten([*outdated.nodes, new]) == [new]


def test_names_are_told_in_directories_that_are_known_or_back(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5, mode=FOLDER)
    nodes.follow(rolled(fs.gone(5)))
    names = [(ROOT_INO, b"a"), (5, b"b"), (6, b"c")]
    assert nodes.follow(RolledBack("before", [], [], names)).names == [(ROOT_INO, b"a")]
    fs.file(5, lookups=0, mode=FOLDER)
    assert nodes.follow(RolledBack("before", [], [], names)).names == [(ROOT_INO, b"a"), (5, b"b")]


def test_an_id_that_was_never_given_is_stale(fs: Inodes, nodes: NodeIds) -> None:
    fs.file(5)
    nodes.follow(rolled(fs.changed(5)))
    with pytest.raises(Stale):
        nodes.number(number_of(KERNEL_TREE, 99))
