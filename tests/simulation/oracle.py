"""What a store must show now and after any stop: the states since the last one that is known to be durable.

The volatile state is the last of them, the durable one the first; a power cut may leave any of them and
nothing else, a kill the last alone. Believes nothing of the store but the answers that its clients got.
"""

from tests.crash.steps import Step
from tests.crash.trees import Tree as Found
from tests.crash.trees import difference
from tests.simulation.model import Tree

UNKNOWN_INO = -1
"""Of what an operation was about to make when the machine stopped."""


class Oracle:
    """The states of one life of a store, from one stop to the next."""

    def __init__(self, now: int) -> None:
        self.states = [Tree.empty(now)]
        """INVARIANT: the first is the newest of which clients know that it is durable."""
        self._first = 0  # how many came before
        self.handles: dict[int, int] = {}
        self.in_flight: Tree | None = None
        """The state after an operation that got no answer; only with nothing answered after it."""
        self.highest_ino = 1
        """Ever seen; numbers above it alone may be given out."""

    @property
    def now(self) -> Tree:
        """The volatile state."""
        return self.states[-1]

    def answered(self, step: Step, tree: Tree) -> None:
        """A step was done, and this is what came of it."""
        if tree is not self.now:
            self.states.append(tree)
        if step.verb == "open":
            self.handles[step.args[1]] = tree.ino(step.args[0])
        elif step.verb == "release":
            self.handles.pop(step.args[0], None)

    def unanswered(self, step: Step, now: int) -> None:
        """The machine stopped, or the log failed, within a step."""
        self.in_flight = self.now.after(step, now, UNKNOWN_INO, self.handles)

    def shows(self, tree: Tree) -> None:
        """This is what clients see; what got no answer may have been done all the same."""
        if self.in_flight is not None and tree.picture() != self.now.picture():
            self.states.append(tree)
            self.in_flight = None

    def moment(self) -> int:
        """How many states there are, for `durable_since`."""
        return self._first + len(self.states) - 1

    def durable_since(self, moment: int) -> None:
        """The state of that moment is durable."""
        gone = max(0, moment - self._first)
        del self.states[:gone]
        self._first += gone

    # --- judging ----------------------------------------------------------------------------

    def matching(self, found: Found, *, durable: bool) -> Tree | None:
        """The newest state that looks as what was found. `durable`: any since the durable one, else the last.

        What was under way counts as done or as not done.
        """
        last = [*self.states, *([self.in_flight] if self.in_flight is not None else [])]
        for tree in reversed(last if durable else last[len(self.states) - 1 :]):
            tree = self._with_numbers(tree, found)
            if tree.picture() == found:
                return tree
        return None

    def _with_numbers(self, tree: Tree, found: Found) -> Tree:
        """A state that knows the number of what was being made; it must be a new one."""
        path = next((path for path, ino in tree.paths().items() if ino == UNKNOWN_INO), None)
        if path is None or path not in found or found[path][0] <= self.highest_ino:
            return tree
        return tree.numbered(UNKNOWN_INO, found[path][0])

    def explain(self, found: Found, *, durable: bool) -> list[str]:
        """How what was found differs from the state that is closest to it."""
        trees = self.states if durable else self.states[-1:]
        pictures = [tree.picture() for tree in trees]
        closest = min(pictures, key=lambda picture: len(difference(found, picture)))
        number = pictures.index(closest)
        where = f"closest is state {number} of {len(pictures)}, {self.in_flight is not None} in flight"
        return [where, *difference(found, closest)[:6]]

    def landed(self, tree: Tree) -> None:
        """After a stop: this state was found, it is durable, and nobody holds anything."""
        self.states = [tree.named()]
        self._first = 0
        self.handles.clear()
        self.in_flight = None
        self.seen(*tree.paths().values())

    def seen(self, *numbers: int) -> None:
        """These inode numbers have shown."""
        self.highest_ino = max(self.highest_ino, *numbers)
