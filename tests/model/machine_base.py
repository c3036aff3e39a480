"""What all steps of the model share: the world, and how a drawn number picks a node."""

import os
import random
import stat
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from tests.model import bounds, drawn
from tests.model.node import Node
from tests.model.world import World
from vfs.filesystem import FileSystem

QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""A place for stores, where a sync costs nothing."""


class MachineBase(RuleBasedStateMachine):
    """One run: a store and a host directory in a folder of their own."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._umask = os.umask(0)
        self._folders: list[tempfile.TemporaryDirectory[str]] = []

    @initialize(
        chosen=st.sampled_from(bounds.ALL),
        life=st.sampled_from(["fresh", "captured", "committed", "replayed"]),
    )
    def begin(self, chosen: bounds.Bounds, life: str) -> None:
        """Never with nothing: a small tree that is only in memory, in the index, or in the log."""
        chosen.impose(self._patch)
        self._folders = [
            tempfile.TemporaryDirectory(prefix="vfs-model-", dir=place) for place in (QUICK, None)
        ]
        store, host = (Path(folder.name) for folder in self._folders)
        self.world = World(store, host, chosen)
        directory = self.world.make(self.world.root, b"a", stat.S_IFDIR | 0o755)
        for place, name in ((self.world.root, b"b"), (directory, b"c"), (directory, b"d")):
            node = self.world.make(place, name, stat.S_IFREG | 0o644)
            self.world.write(node, 10, name * 1000)
            self.world.write(node, 20_000, random.Random(name).randbytes(9000))
            self.world.note(node)
        self.world.make(directory, b"e", stat.S_IFDIR | 0o755)
        if life == "committed":
            self.fs.checkpoint()
        elif life == "captured":
            self.fs.begin_checkpoint()
        elif life == "replayed":
            self.world.restart(clean=False)

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.world.close(compare=sys.exc_info()[0] is None)
        finally:
            os.umask(self._umask)
            self._patch.undo()
            for folder in self._folders:
                folder.cleanup()

    @property
    def fs(self) -> FileSystem:
        return self.world.fs

    def before_checkpoint(self) -> None:
        """End whatever has to be over before a capture may begin."""

    # --- picking ----------------------------------------------------------------------------

    def _among(self, pick: int, nodes: list[Node]) -> Node:
        return nodes[pick % len(nodes)]

    def node(self, pick: int) -> Node:
        return self._among(pick, list(self.world.nodes.values()))

    def file(self, pick: int) -> Node | None:
        files = [node for node in self.world.nodes.values() if node.is_file]
        return self._among(pick, files) if files else None

    def directory(self, pick: int) -> Node:
        return self._among(pick, [node for node in self.world.nodes.values() if node.is_directory])

    def locate(self, where: drawn.Where) -> tuple[Node, bytes]:
        """The entry that was drawn. Now and then its directory is none."""
        if where.there:
            entries = self.world.entries()
            if entries:
                return entries[where.pick % len(entries)]
        if where.pick % 13 == 12:
            return self.node(where.pick), where.name
        return self.directory(where.pick), where.name

    @invariant()
    def consistent(self) -> None:
        if hasattr(self, "world"):
            self.fs.table.check_invariants()
            self.world.bounds.after_step(self.fs)
