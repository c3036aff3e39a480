"""What happens next in a life, drawn from its seed: steps of several clients, faults, stops.

Looks at the model's names only, so that most steps make sense where they stand. Never looks at the store.
"""

import errno
import random
from typing import ClassVar

from tests.crash.steps import CHANCES, Names, Step
from tests.crash.tree_steps import TREE_CHANCES, Moment, TreeSketch
from tests.simulation.model import Tree
from tests.simulation.oracle import Oracle
from tests.simulation.worlds import Nodes
from vfs.numbers import tree_of

CLIENTS = 3

FAULTS: dict[str, int] = {
    "fault": 5,
    "calm": 4,
    "small": 2,
    "roomy": 3,
    "stop": 5,
    "compare": 2,
    "flip": 2,
}
EIO_AT: tuple[tuple[str | None, str], ...] = (
    ("append", "log"),
    ("append", "log"),
    ("sync", "log"),
    ("sync", "log"),
    ("sync_folder", "log"),
    ("truncate", "log"),
    ("create", "log"),
    ("unlink", "log"),
    ("open", "log"),
    ("read", "log"),
    ("append", "packs"),
    ("sync", "packs"),
    ("sync_folder", "packs"),
    ("rename", "packs"),
    ("create", "packs"),
    ("unlink", "packs"),
    ("open", "packs"),
    ("read", "packs"),
    ("write", "index"),
    ("sync", "index"),
    ("truncate", "index"),
    ("create", "index"),
    ("unlink", "index"),
    ("open", "index"),
    ("read", "index"),
    ("read", ""),
    (None, ""),
    (None, ""),
)
NO_SPACE_AT: tuple[tuple[str, str], ...] = (
    ("append", "log"),
    ("create", "log"),
    ("append", "packs"),
    ("create", "packs"),
    ("write", "index"),
    ("create", "index"),
)


class Drawing(TreeSketch):
    """The next step, given what there is."""

    chances: ClassVar[dict[str, int]] = {
        **CHANCES,
        **TREE_CHANCES,
        "lose": 0,
        "checkpoint": 2,
        "reopen": 2,
        "whole_pack": 3,
        **FAULTS,
    }

    def __init__(self, seed: int) -> None:
        super().__init__(random.Random(f"life {seed}"))
        self._waiting: set[int] = set()  # clients whose sync is under way
        self._readers: set[int] = set()

    def next(self, oracle: Oracle, *, failed: bool) -> Step:
        """One more step. A store that has failed is soon opened again."""
        world = oracle.now
        self.kinds, self.roots = _moment(world.nodes)
        moments = {name: _moment(moment.nodes) for name, moment in world.moments.items()}
        self.kept = [moments.pop(name) for name, moment in world.moments.items() if moment.automatic]
        self.moments = moments
        if not oracle.handles:
            self.handles.clear()
        if failed and self.rng.random() < 0.3:
            return self._back(self.rng.choice((self._reopen_now(), self._now("cut"), self._now("kill"))))
        self.draw()
        return self.drawn[-1]

    def stopped(self) -> None:
        """The store was opened again: nothing is under way."""
        self._back(Step("compare"))

    def _back(self, step: Step) -> Step:
        self.phase = self.packing = self.collecting = ""
        self.coming = ()
        self.handles.clear()
        self._waiting.clear()
        self._readers.clear()
        return step

    def _handle(self) -> Step | None:
        """As before; open files are read as well, those without a name too."""
        if self.handles and self.rng.random() < 0.3:
            return Step("read_open", (self.rng.choice(self.handles),))
        return super()._handle()

    # --- clients ----------------------------------------------------------------------------

    def _slow_sync(self) -> Step:
        client = self.rng.randrange(CLIENTS)
        if client not in self._waiting:
            self._waiting.add(client)
            return Step("begin_sync", (client,))
        if self.rng.random() < 0.4:
            return Step("run_sync", (client,))
        self._waiting.discard(client)
        return Step("end_sync", (client,))

    def _slow_read(self) -> Step | None:
        client, path = self.rng.randrange(CLIENTS), self._any_file()
        if client in self._readers:
            self._readers.discard(client)
            return Step("end_read", (client,))
        if path is None:
            return None
        self._readers.add(client)
        return Step("begin_read", (path, client))

    def _reopen(self) -> Step:
        return self._back(self._reopen_now())

    def _reopen_now(self) -> Step:
        return Step("reopen")

    def _compare(self) -> Step:
        return Step("compare")

    # --- the disk ---------------------------------------------------------------------------

    def _fault(self) -> Step:
        rng = self.rng
        skip, partial = rng.choice((0, 0, 1, 2, 5, 12)), rng.choice((0, 1, 39, 50, 3000))
        if rng.random() < 0.4:
            kind, area = rng.choice(NO_SPACE_AT)
            # One of the index at most: undoing a transaction writes over what is there and needs no room.
            times = 1 if area == "index" else rng.choice((1, 1, 2, 5))
            return Step("fault", (errno.ENOSPC, kind, area, skip, times, partial))
        any_kind, area = rng.choice(EIO_AT)
        times = rng.choice((1, 1, 1, 2, 1000))
        return Step("fault", (errno.EIO, any_kind, area, skip, times, partial))

    def _calm(self) -> Step:
        return Step("calm")

    def _small(self) -> Step:
        return Step("room", (self.rng.choice((0, 3000, 20_000, 60_000, 200_000)),))

    def _roomy(self) -> Step:
        return Step("room", (None,))

    def _flip(self) -> Step:
        rng = self.rng
        area, repairs = rng.choice(("log", "packs", "index.db")), rng.random() < 0.3
        return Step("flip", (area, rng.getrandbits(32), repairs))

    def _stop(self) -> Step:
        """Soon, in the middle of a call, or now; now and then again in the recovery."""
        rng = self.rng
        kind = rng.choice(("cut", "cut", "kill"))
        if rng.random() < 0.15:
            return self._back(self._now(kind))
        after = rng.choice((0, rng.randrange(5), rng.randrange(40)))
        partial = rng.choice((None, 0, 1, 30, 60, 700, 5000))
        return Step(kind, (after, rng.getrandbits(32), partial, *self._seconds()))

    def _now(self, kind: str) -> Step:
        return Step(kind, (None, self.rng.getrandbits(32), None, *self._seconds()))

    def _seconds(self) -> list[tuple[int, int]]:
        rng = self.rng
        count = rng.choices((0, 1, 2), (6, 2, 1))[0]
        return [(rng.randrange(25), rng.getrandbits(32)) for _ in range(count)]


def _moment(nodes: Nodes) -> Moment:
    """The names of a world, or of a moment of it."""
    kinds: Names = {}
    roots: Names = {}
    paths = Tree(nodes).paths()
    for path, ino in paths.items():
        if path != "/":
            node = nodes[ino]
            kind = "dir" if node.names is not None else "other" if node.content is None else "file"
            kinds[path] = kind, ino
            if tree_of(ino) != tree_of(paths[path.rpartition("/")[0] or "/"]):
                roots[path] = kind, ino
    return Moment(kinds, roots)
