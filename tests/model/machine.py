"""The state machine of the model: all steps together, and one that puts changes where they hurt most."""

import random
import stat

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model import drawn
from tests.model.attribute_rules import AttributeRules
from tests.model.content_rules import ContentRules
from tests.model.name_rules import NameRules
from tests.model.node import Node
from tests.model.snapshot_rules import SnapshotRules

CHANGES = ("remove", "move", "replace", "write", "truncate", "chmod", "clone", "open", "xattr")
ENDS = ("go on", "kill", "commit and kill", "end", "abandon")


class FileSystemMachine(NameRules, ContentRules, AttributeRules, SnapshotRules):
    """All steps together."""

    @rule(
        where=drawn.missing,
        data=drawn.short_data,
        change=st.sampled_from(CHANGES),
        spot=drawn.spots,
        steps=st.integers(0, 20),
        then=st.sampled_from(ENDS),
    )
    def change_what_a_checkpoint_waits_for(
        self, where: drawn.Where, data: drawn.Data, change: str, spot: drawn.Spot, steps: int, then: str
    ) -> None:
        """What other steps do seldom: change a file between the moment of a checkpoint and its capture."""
        directory, name = self.locate(where)
        node = self.world.under(directory, name)
        if node is None and directory.is_directory and directory.links and name != drawn.LONG:
            node = self.world.make(directory, name, stat.S_IFREG | 0o644)
        if node is None or not node.is_file:
            return
        for _ in range(3):
            self.world.write(node, node.size(), data.make())
        self._changed(node)
        self.finish_checkpoint("ended")
        self.xattr(list(self.world.nodes.values()).index(node), b"user.a", data.make()[:9], 0)
        self.begin_checkpoint(steps)
        self._change(change, node, (directory, name), where.pick, spot, data)
        if then == "commit and kill":
            self.finish_checkpoint("committed")
        elif then == "end":
            self.finish_checkpoint("ended")
            self.compare()
        elif then == "abandon":
            self.abandon_checkpoint()
            self.finish_checkpoint("ended")
            self.checkpoint()
        if then not in ("go on", "end"):
            self.world.restart(clean=False)

    @rule(
        where=drawn.existing,
        data=drawn.short_data,
        change=st.sampled_from(CHANGES),
        spot=drawn.spots,
        steps=st.integers(1, 3),
        committed=st.booleans(),
        kill=st.booleans(),
    )
    def change_what_a_pass_has_planned(
        self,
        where: drawn.Where,
        data: drawn.Data,
        change: str,
        spot: drawn.Spot,
        steps: int,
        committed: bool,
        kill: bool,
    ) -> None:
        """Change a file, and maybe bring that into the index, between the steps of a pass."""
        directory, name = self.locate(where)
        node = self.world.under(directory, name)
        if node is None or not node.is_file or self._passing() is not None:
            return
        self.finish_checkpoint("ended")
        self.world.write(node, node.size(), random.Random(steps).randbytes(9000))
        self._changed(node)
        self.checkpoint()
        self.begin_pack(True, steps)
        self._change(change, node, (directory, name), where.pick, spot, data)
        if committed:
            self.checkpoint()
        self.go_on_with_pack(5)
        self.compare()
        if kill:
            self.world.restart(clean=False)

    def _change(
        self,
        change: str,
        node: Node,
        place: tuple[Node, bytes],
        other: int,
        spot: drawn.Spot,
        data: drawn.Data,
    ) -> None:
        """One change of the file under that name."""
        entry, pick = (
            self.world.entries().index(place),
            list(self.world.nodes.values()).index(node),
        )
        files = [file for file in self.world.nodes.values() if file.is_file]
        there, file_pick = drawn.Where(entry, b"", True), files.index(node)
        if change == "remove":
            self.remove(there, 1, "")
        elif change in ("move", "replace"):
            self.rename(there, drawn.Where(other + 1, b"a", change == "replace"), 0)
        elif change == "write":
            self.write(file_pick, spot, data)
        elif change == "truncate":
            self.truncate(file_pick, spot)
        elif change == "chmod":
            self.chmod(pick, 0o4711)
        elif change == "clone":
            self.clone_range(file_pick, drawn.Spot("start", 0), 1 << 20, other, spot)
        elif change == "open":
            self.open(pick, truncate=True, writing=True)
        elif change == "xattr":
            self.xattr(pick, b"user.b", b"new", 0)
