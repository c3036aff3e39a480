"""Steps that freeze, fork and bring back: snapshots, clones, rollbacks, and all that is refused."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model import drawn
from tests.model.frozen import Frozen, Planter, below, clear, find_path
from tests.model.node import Node
from tests.model.pack_rules import PackRules
from tests.model.snapshots import Snapshot
from vfs.errors import Exists, NotADirectory, OperationError, ReadOnly, SnapshotError
from vfs.limits import ROOT_INO
from vfs.mount.errno_table import ERRNO
from vfs.numbers import MAIN_TREE, SNAPSHOTS_INO, local_of, number_of, tree_of
from vfs.snapshots.actions import Action, CreateSnapshot, DeleteSnapshots, RenameSnapshot
from vfs.snapshots.pruning import Prune

MOST_SNAPSHOTS = 4
MOST_NODES = 60
"""No clone is made of a world that is larger: it would double with each."""

snapshot_names = st.sampled_from(["one", "two", "three", "nächster"])


class SnapshotRules(PackRules):
    """create, delete, rename, clone, drop_clone, rollback."""

    def _snapshot(self, pick: int) -> tuple[str, Snapshot] | None:
        known = list(self.world.snapshots.by_name.items())
        return known[pick % len(known)] if known else None

    def _quiet(self) -> None:
        """No checkpoint is in flight, and none is kept from beginning."""
        self.finish_checkpoint("ended")
        self.before_checkpoint()

    def _act(
        self,
        action: Action,
        then: Callable[[], None],
        steps: int | None,
        undo: Callable[[], None] | None = None,
    ) -> None:
        """A whole checkpoint with an action, or the beginning of one."""
        self._quiet()
        if steps is None:
            self.fs.checkpoint(action=action)
            then()
            self.world.check_index()
            self.world.snapshots.compare()
            return
        self.fs.begin_checkpoint(action=action)
        self.world.snapshots.action_begun(then, undo)
        self._stage = "gathering"
        self._advance(steps)

    # --- snapshots --------------------------------------------------------------------------

    @rule(name=snapshot_names, steps=st.none() | st.integers(0, 6), comment=st.sampled_from(["", "why"]))
    def create_snapshot(self, name: str, steps: int | None, comment: str) -> None:
        self._quiet()
        snapshots = self.world.snapshots
        if name in snapshots.by_name:
            with pytest.raises(SnapshotError, match="already"):
                self.fs.create_snapshot(name)
            return
        if len(snapshots.by_name) >= MOST_SNAPSHOTS:
            return
        frozen = snapshots.freeze()
        self._act(CreateSnapshot(name, comment), lambda: snapshots.add(name, frozen, comment), steps)

    @rule(pick=drawn.picks, steps=st.none() | st.integers(0, 6))
    def delete_snapshot(self, pick: int, steps: int | None) -> None:
        self._quiet()
        found = self._snapshot(pick)
        if found is None:
            with pytest.raises(SnapshotError):
                self.fs.delete_snapshots(["one"])
            return
        name, snapshot = found
        by_name = self.world.snapshots.by_name
        del by_name[name]  # from the moment of the checkpoint on nobody finds it
        self._act(
            DeleteSnapshots([name]),
            lambda: self.world.snapshots.lost(snapshot),
            steps,
            lambda: by_name.update({name: snapshot}),
        )

    @rule(pick=drawn.picks, to=snapshot_names, steps=st.none() | st.integers(0, 6))
    def rename_snapshot(self, pick: int, to: str, steps: int | None) -> None:
        self._quiet()
        found = self._snapshot(pick)
        by_name = self.world.snapshots.by_name
        if found is None or to in by_name:
            with pytest.raises(SnapshotError):
                self.fs.rename_snapshot("one" if found is None else found[0], to)
            return
        name = found[0]
        self._act(RenameSnapshot(name, to), lambda: by_name.update({to: by_name.pop(name)}), steps)

    @rule(slices=st.integers(1, 4), rows=st.sampled_from([1, 3, 1000]))
    def prune(self, slices: int, rows: int) -> None:
        """What no tree shows any more goes, in slices."""
        if self._in_flight():
            return
        work = Prune(most_rows=rows, most_seconds=1.0)
        for _ in range(slices):
            self.fs.begin_slice(work)
            with ThreadPoolExecutor(1) as worker:  # as in a daemon: clients go on meanwhile
                run = worker.submit(self.fs.run_slice, work)
                self.world.compare()
                more = run.result()
            self.fs.end_slice(work)
            self.world.check_index()
            if not more:
                break

    @rule(pick=drawn.picks, node=drawn.picks, spot=drawn.spots)
    def look_into_snapshot(self, pick: int, node: int, spot: drawn.Spot) -> None:
        """Reads through a handle, and everything that is refused."""
        self._quiet()
        found = self._snapshot(pick)
        if found is None:
            return
        snapshot = found[1]
        self.world.snapshots.compare()
        reachable = sorted(below(snapshot.frozen, ROOT_INO))
        frozen = snapshot.frozen[reachable[node % len(reachable)]]
        number, fs = snapshot.number(frozen.ino), self.fs
        refused: list[Callable[[], object]] = [
            lambda: fs.set_attributes(number, mode=0o600),
            lambda: fs.set_xattr(number, b"user.a", b"x"),
            lambda: fs.link(number, snapshot.root, b"new"),
            lambda: fs.rename(snapshot.root, b"a", ROOT_INO, b"new"),
            lambda: fs.rename(ROOT_INO, b"a", snapshot.root, b"new"),
            lambda: fs.mkdir(SNAPSHOTS_INO, b"new", 0o755),
            lambda: fs.rmdir(SNAPSHOTS_INO, found[0].encode()),
        ]
        if frozen.is_file:
            refused += [
                lambda: fs.write(number, 0, b"x"),
                lambda: fs.truncate(number, 0),
                lambda: fs.punch(number, 0, 1),
                lambda: fs.open(number, os.O_RDWR),
            ]
            fs.open(number)
            self.world.snapshots.compare_node(number, frozen)
            fs.release(number)
        elif frozen.is_directory:
            refused += [
                lambda: fs.mkdir(number, b"new", 0o755),
                lambda: fs.unlink(number, b"c"),
                lambda: fs.rmdir(number, b"e"),
            ]
        for change in refused:
            if change is refused[2] and frozen.is_directory:
                continue
            self.world.refused(change, ERRNO[ReadOnly])
        self.world.refused(lambda: fs.mkdir(ROOT_INO, b".snapshots", 0o755), ERRNO[Exists])
        self.world.refused(lambda: fs.rmdir(ROOT_INO, b".snapshots"), ERRNO[ReadOnly])

    @rule(pick=drawn.picks, node=drawn.picks, sink=drawn.picks)
    def bring_back_content(self, pick: int, node: int, sink: int) -> None:
        """A file gets what another one, or itself, had in a snapshot, without data that moves."""
        found, target = self._snapshot(pick), self.file(sink)
        if found is None or target is None or self.world.snapshots.committed:
            return
        snapshot = found[1]
        self.world.snapshots.compare()
        files = [ino for ino in sorted(below(snapshot.frozen, ROOT_INO)) if snapshot.frozen[ino].is_file]
        if not files:
            return
        frozen = snapshot.frozen[files[node % len(files)]]
        self.fs.truncate(target.ino, 0)
        os.truncate(target.data_fd, 0)
        target.ranges.remove(0, 1 << 62)
        assert self.fs.clone_range(snapshot.number(frozen.ino), 0, 1 << 40, target.ino, 0) == frozen.size
        os.truncate(target.data_fd, frozen.size)
        for (start, stop), data in zip(frozen.ranges, frozen.data, strict=True):
            os.pwrite(target.data_fd, data, start)
            target.ranges.add(start, stop)
        os.chmod(target.path, stat.S_IMODE(self.fs.get(target.ino).mode))
        self.world.note(target, exact=False)

    # --- rollback ---------------------------------------------------------------------------

    @rule(pick=drawn.picks)
    def rollback(self, pick: int) -> None:
        self._quiet()
        found = self._snapshot(pick)
        snapshots = self.world.snapshots
        if found is None:
            with pytest.raises(SnapshotError):
                self.fs.rollback("one")
            return
        before = snapshots.freeze()
        cookies = self._cookies()
        done = self.fs.rollback(found[0])
        snapshots.add(done.kept_as, before, f"before the rollback to {found[0]}")
        snapshots.rolled_back(before, found[1].frozen, done)
        now = self._cookies()
        for listing in self.world.listings:
            was, entries = cookies.get(listing.ino, {}), now.get(listing.ino, {})
            for name in was.keys() | entries.keys():
                if was.get(name) != entries.get(name):
                    listing.removed(name)
        self.world.compare()
        while len(snapshots.by_name) > MOST_SNAPSHOTS:
            self.delete_snapshot(0, None)

    def _cookies(self) -> dict[int, dict[bytes, tuple[int, int]]]:
        """For each directory its names with what they lead to, and their cookies."""
        return {
            node.ino: {name: (ino, cookie) for name, ino, cookie, _ in self.fs.readdir(node.ino, 2, 10**6)}
            for node in self.world.nodes.values()
            if node.is_directory
        }

    @rule(pick=drawn.picks)
    def rollback_of_the_rollback(self, pick: int) -> None:
        """To what a rollback has kept, if there is any."""
        kept = [
            at for at, name in enumerate(self.world.snapshots.by_name) if name.startswith("before-rollback-")
        ]
        if kept:
            self.rollback(kept[pick % len(kept)])

    # --- clones -----------------------------------------------------------------------------

    @rule(pick=drawn.picks, folder=st.just(0) | drawn.picks, where=drawn.missing)
    def clone(self, pick: int, folder: int, where: drawn.Where) -> None:
        """Of a whole snapshot or of a folder of it, also of one that lies in a clone of that day."""
        if self.world.snapshots.committed:
            self.finish_checkpoint("ended")
        found = self._snapshot(pick)
        directory, name = self.locate(where)
        if found is None or len(self.world.nodes) > MOST_NODES:
            return
        frozen = found[1].frozen
        reachable = below(frozen, ROOT_INO)
        folders = [ino for ino in sorted(reachable) if frozen[ino].is_directory]
        root = ROOT_INO if folder == 0 else folders[folder % len(folders)]
        path = find_path(frozen, ROOT_INO, root)
        assert path is not None, "it can be reached"
        source = f"{found[0]}:{path}" if path else found[0]
        try:
            inode = self.fs.clone(source, directory.ino, name)
        except OperationError as error:
            self._refused_clone(directory, name, error)
            return
        trees = {tree_of(root): tree_of(inode.ino)}
        assert local_of(inode.ino) == local_of(root)
        assert tree_of(inode.ino) not in {tree_of(ino) for ino in self.world.nodes}
        self._nested(frozen, root, trees, inode.ino)
        planter = Planter(frozen, lambda ino: number_of(trees[tree_of(ino)], local_of(ino)))
        planter.plant(root, directory.fd, name)
        inside = below(frozen, root)
        for ino, links in inside.items():
            node = planter.nodes[number_of(trees[tree_of(ino)], local_of(ino))]
            if not node.is_directory:
                node.outside = frozen[ino].links + frozen[ino].outside - links
        self.world.nodes.update(planter.nodes)
        self._is_entered(planter.nodes[inode.ino])
        self.world.note(directory)
        for ino in inside:
            node = planter.nodes[number_of(trees[tree_of(ino)], local_of(ino))]
            self.world.compare_node(node)

    def _is_entered(self, node: Node) -> None:
        """The root of a clone may be stamped: it has another name, or another place, than it had."""
        times = self.world.times(node)
        assert times[:2] == node.times[:2]
        assert times.ctime >= node.times.ctime
        node.times = times

    def _nested(self, frozen: Frozen, root: int, trees: dict[int, int], number: int) -> None:
        """What the clones that lay in the clone are called now."""
        waiting = [(root, number)]
        while waiting:
            at, now = waiting.pop()
            for name, child in (frozen[at].names or {}).items():
                if not frozen[child].is_directory:
                    continue
                ino = self.fs.lookup(now, name).ino
                if tree_of(child) != tree_of(at):
                    assert tree_of(ino) not in {MAIN_TREE, *trees.values()}
                    trees[tree_of(child)] = tree_of(ino)
                waiting.append((child, ino))

    def _refused_clone(self, directory: Node, name: bytes, error: OperationError) -> None:
        taken = directory.is_directory and name in directory.names()
        if taken:
            assert isinstance(error, Exists)
        else:
            assert name == drawn.LONG or not directory.is_directory or not directory.links, repr(error)
            assert directory.is_directory or isinstance(error, NotADirectory) or name == drawn.LONG

    def _clones(self) -> list[Node]:
        """The roots of all clones that have a name."""
        return [
            node
            for node in self.world.nodes.values()
            if node.is_directory and tree_of(node.ino) != MAIN_TREE and node.links and self._is_root(node)
        ]

    def _is_root(self, node: Node) -> bool:
        tree = self.fs.table.trees.get(tree_of(node.ino))
        return tree is not None and tree.root_ino == node.ino

    @rule(pick=drawn.picks, steps=st.integers(-1, 3))
    def drop_clone(self, pick: int, steps: int) -> None:
        """With all that is in it, also while a checkpoint waits for what is in it."""
        clones = self._clones()
        if not clones:
            with pytest.raises(SnapshotError):
                self.fs.drop_clone(ROOT_INO)
            return
        root = clones[pick % len(clones)]
        if steps >= 0:
            self.begin_checkpoint(steps)
        self._drop(root)

    def _drop(self, root: Node) -> None:
        parent, name = next(
            (node, name)
            for node in self.world.nodes.values()
            if node.is_directory
            for name, (host_ino, _) in node.names().items()
            if host_ino == root.host_ino
        )
        frozen = self.world.snapshots.freeze()
        trees = {tree_of(ino) for ino in below(frozen, root.ino)}
        self.fs.drop_clone(root.ino)
        clear(root)
        os.rmdir(name, dir_fd=parent.fd)
        for node in list(self.world.nodes.values()):
            if tree_of(node.ino) in trees:
                self.world.snapshots.gone.add(node.ino)
                del self.world.nodes[node.ino]
                node.close()
        self.world.entry_gone(parent, name)
        self.world.note(parent)
        for number in list(self.world.snapshots.gone)[-3:]:
            assert self.fs.table.is_gone(number)

    @rule(pick=drawn.picks, hold=st.integers(0, 3))
    def remove_clone(self, pick: int, hold: int) -> None:
        """As `rm -rf` does it; somebody may hold some of it."""
        clones = self._clones()
        if not clones:
            return
        root = clones[pick % len(clones)]
        for node in [node for node in self.world.nodes.values() if tree_of(node.ino) == tree_of(root.ino)]:
            if hold and local_of(node.ino) % 4 == hold:
                self.fs.open(node.ino)
                node.opens += 1
        parent, name = next(
            (node, name) for node, name in self.world.entries() if node.names()[name][0] == root.host_ino
        )
        self._remove_all(root)
        self._remove_one(parent, name, root)

    def _remove_all(self, directory: Node) -> None:
        for name in sorted(directory.names()):
            node = self.world.under(directory, name)
            assert node is not None, "it is listed"
            if node.is_directory:
                self._remove_all(node)
            self._remove_one(directory, name, node)

    def _remove_one(self, directory: Node, name: bytes, node: Node) -> None:
        ours, hosts = (self.fs.rmdir, os.rmdir) if node.is_directory else (self.fs.unlink, os.unlink)
        ours(directory.ino, name)
        hosts(name, dir_fd=directory.fd)
        self._removed(directory, name, node)

    def _removed(self, directory: Node, name: bytes, node: Node) -> None:
        raise NotImplementedError
