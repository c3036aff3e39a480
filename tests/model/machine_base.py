"""What all steps of the model share: the world, and how a drawn number picks a node."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from tests.model import bounds
from tests.model.node import Node
from tests.model.world import World
from vfs.filesystem import FileSystem


class MachineBase(RuleBasedStateMachine):
    """One run: a store and a host directory in a folder of their own."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._umask = os.umask(0)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @initialize(chosen=st.sampled_from(bounds.ALL))
    def begin(self, chosen: bounds.Bounds) -> None:
        chosen.impose(self._patch)
        self._folder = tempfile.TemporaryDirectory(prefix="vfs-model-")
        self.world = World(Path(self._folder.name), chosen)

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.world.close(compare=sys.exc_info()[0] is None)
        finally:
            os.umask(self._umask)
            self._patch.undo()
            if self._folder is not None:
                self._folder.cleanup()

    @property
    def fs(self) -> FileSystem:
        return self.world.fs

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

    def any_directory(self, pick: int) -> Node:
        """Mostly a directory; now and then something that is none."""
        return self.node(pick) if pick % 13 == 12 else self.directory(pick)

    @invariant()
    def consistent(self) -> None:
        if hasattr(self, "world"):
            self.world.check_memory()


Step = Any
