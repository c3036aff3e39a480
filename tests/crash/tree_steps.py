"""Scripts with snapshots, clones, rollbacks and pruning among their steps.

A `TreeSketch` follows the names in them as well. Nothing here touches a file system.
"""

import random
from typing import ClassVar, NamedTuple

from tests.crash.steps import CHANCES, Names, Sketch, Step
from tests.crash.tree_operations import NEWEST

TREE_CHANCES = {
    "take": 9,
    "take_slowly": 5,
    "forget": 8,
    "call": 4,
    "roll_back": 6,
    "fork": 5,
    "unfork": 3,
    "prune": 8,
}
SNAPSHOT_NAMES = ("one", "two", "three")
MOST_PATHS = 24
"""No clone is made of a tree, or in one, that has more: it would double with each."""
TREE_STEPS = (
    *("snapshot", "delete_snapshot", "rename_snapshot", "rollback", "begin_action"),
    *("fork", "unfork", "prune"),
)


class Moment(NamedTuple):
    """The names of a moment, and where its clones lie."""

    kinds: Names
    roots: Names


class TreeSketch(Sketch):
    """The names that exist now, and those that existed at the moments of snapshots."""

    chances: ClassVar[dict[str, int]] = {**CHANCES, **TREE_CHANCES}

    def __init__(self, rng: random.Random, kinds: Names | None = None) -> None:
        super().__init__(rng, kinds)
        self.moments: dict[str, Moment] = {}
        self.kept: list[Moment] = []  # by rollbacks
        self.roots: Names = {}
        self.coming: tuple[str, ...] = ()  # the action of the checkpoint in slices
        self._then = Moment({}, {})
        self._forks = 0

    def home(self, path: str) -> str:
        """The root of the clone in which a name lies; empty: in none."""
        roots = [root for root, node in self.roots.items() if self.kinds.get(root) == node]
        return max((root for root in roots if path.startswith(root + "/")), key=len, default="")

    def apart(self, old: str, new: str) -> bool:
        return self.home(old) != self.home(new)

    def move(self, old: str, new: str) -> None:
        roots = {path: node for path, node in self.roots.items() if self.kinds.get(path) == node}
        kinds, self.kinds = self.kinds, roots
        super().move(old, new)
        self.roots, self.kinds = self.kinds, kinds
        super().move(old, new)

    def now(self) -> Moment:
        return Moment(dict(self.kinds), dict(self.roots))

    def _some(self) -> str | None:
        """A snapshot."""
        names = [*self.moments, *([NEWEST] if self.kept else [])]
        return self.rng.choice(names) if names else None

    def _moment(self, name: str) -> Moment:
        return self.kept[-1] if name == NEWEST else self.moments[name]

    # --- snapshots --------------------------------------------------------------------------

    def _take(self) -> Step | None:
        name = self.rng.choice(SNAPSHOT_NAMES)
        if self.phase or self._swapping:
            return None
        if name in self.moments or len(self.moments) + len(self.kept) > 3:
            return self._forget()
        self.moments[name] = self.now()
        return Step("snapshot", (name,))

    def _forget(self) -> Step | None:
        name = self._some()
        if name is None or self.phase or self._swapping:
            return None
        self._forgotten(name)
        return Step("delete_snapshot", (name,))

    def _forgotten(self, name: str) -> None:
        if name == NEWEST:
            self.kept.pop()
        else:
            del self.moments[name]

    def _call(self) -> Step | None:
        name, new = self._some(), self.rng.choice(SNAPSHOT_NAMES)
        if name is None or name == NEWEST or new in self.moments or self.phase or self._swapping:
            return None
        self.moments[new] = self.moments.pop(name)
        return Step("rename_snapshot", (name, new))

    def _take_slowly(self) -> Step | None:
        """A checkpoint in slices that takes one, or gives it another name."""
        if self.phase or self._swapping:
            return None
        name, new = self._some(), self.rng.choice(SNAPSHOT_NAMES)
        if new in self.moments or len(self.moments) + len(self.kept) > 3:
            return None
        self.coming = ("snapshot", new)
        if name is not None and name != NEWEST and self.rng.random() < 0.3:
            self.coming = ("rename_snapshot", name, new)
        self._then = self.now()
        self.phase = "begin"
        return Step("begin_action", self.coming)

    def _slice(self) -> Step | None:
        step = super()._slice()
        if step is not None and step.verb == "commit" and self.coming:
            verb, *names = self.coming
            self.moments[names[-1]] = self._then if verb == "snapshot" else self.moments.pop(names[0])
            self.coming = ()
            self.phase = ""
        return step

    def _roll_back(self) -> Step | None:
        name = self._some()
        if name is None or self.phase or self._swapping or self.syncing:
            return None
        moment, now = self._moment(name), self.now()
        self.kinds, self.roots = dict(moment.kinds), dict(moment.roots)
        self.kept.append(now)
        self.handles.clear()  # some may be what they were
        return Step("rollback", (name,))

    def _prune(self) -> Step | None:
        if self.phase or self._swapping:
            return None
        return Step("prune", (self.rng.choice((1, 3, 100)),))

    # --- clones -----------------------------------------------------------------------------

    def _fork(self) -> Step | None:
        name, path = self._some(), self.free_path()
        if name is None or path is None:
            return None
        moment = self._moment(name)
        folders = [found for found, (kind, _) in moment.kinds.items() if kind == "dir"]
        folder = self.rng.choice(folders) if folders and self.rng.random() < 0.4 else ""
        inside = {found: node for found, node in moment.kinds.items() if found.startswith(folder + "/")}
        if len(inside) + len(self.kinds) > MOST_PATHS:
            return None
        self._forks += 1
        shift = 1_000_000 * self._forks
        new = {found: (kind, number + shift) for found, (kind, number) in inside.items()}
        roots = {found: new[found] for found, node in moment.roots.items() if inside.get(found) == node}
        cut = len(folder)
        self.kinds[path] = self.roots[path] = ("dir", shift - 1)
        self.kinds.update({path + found[cut:]: node for found, node in new.items()})
        self.roots.update({path + found[cut:]: node for found, node in roots.items()})
        return Step("fork", (name, folder.strip("/"), path))

    def _unfork(self) -> Step | None:
        roots = [root for root, node in self.roots.items() if self.kinds.get(root) == node]
        if not roots:
            return None
        root = self.rng.choice(roots)
        self.kinds = {
            path: node
            for path, node in self.kinds.items()
            if path != root and not path.startswith(root + "/")
        }
        self.handles.clear()
        return Step("unfork", (root,))


def tree_script(seed: object, length: int, begin: "TreeSketch | None" = None) -> list[Step]:
    """So many steps, with snapshots and clones among them; `begin` knows what there is."""
    sketch = begin or TreeSketch(random.Random(f"trees {seed}"))
    for _ in range(length):
        sketch.draw()
    return sketch.drawn
