"""What a store must show now and after any stop: the states since the last one that is known to be durable.

The volatile state is the last of them, the durable one the first; a power cut may leave any of them and
nothing else, a kill the last alone. Believes nothing of the store but the answers that its clients got.
"""

from tests.crash.steps import Step
from tests.crash.trees import Tree as Found
from tests.crash.trees import difference
from tests.simulation.worlds import World
from vfs.numbers import LOCAL_MASK, local_of, number_of, tree_of

UNKNOWN_LOCAL = LOCAL_MASK
"""Of what an operation was about to make when the machine stopped."""


class Oracle:
    """The states of one life of a store, from one stop to the next."""

    def __init__(self, now: int) -> None:
        self.states = [World.empty(now)]
        """INVARIANT: the first is the newest of which clients know that it is durable."""
        self._first = 0  # how many came before
        self.handles: dict[int, int] = {}
        self.in_flight: World | None = None
        """The state after an operation that got no answer; only with nothing answered after it."""
        self._coming: list[World] = []
        """The states as an action makes them whose commit got no answer."""
        self.highest_ino = 1
        """Ever seen; numbers above it alone may be given out."""

    @property
    def now(self) -> World:
        """The volatile state."""
        return self.states[-1]

    def answered(self, step: Step, tree: World) -> None:
        """A step was done, and this is what came of it."""
        waiting = self.now.waiting
        if waiting is not None and tree.waiting is None:
            # Its moment is durable and came before; what was answered since need not be.
            self.states = [state.acted(waiting) for state in self.states]
        elif tree is not self.now:
            self.states.append(tree)
        if step.verb == "open":
            self.handles[step.args[1]] = tree.ino(step.args[0])
        elif step.verb == "release":
            self.handles.pop(step.args[0], None)

    def given_up(self) -> None:
        """A checkpoint with an action is not under way any more, or never came to its end."""
        if self.now.waiting is not None:
            self.states[-1] = self.now.calm()

    def unanswered(self, step: Step, now: int) -> None:
        """The machine stopped, or the log failed, within a step."""
        self.in_flight = self.now.after(step, now, UNKNOWN_LOCAL, self.handles)
        waiting = self.now.waiting
        if waiting is not None and step.verb == "commit":
            self._coming = [state.acted(waiting) for state in self.states]

    def shows(self, tree: World) -> None:
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

    def matching(self, found: Found, *, durable: bool) -> World | None:
        """The newest state that looks as what was found. `durable`: any since the durable one, else the last.

        What was under way counts as done or as not done.
        """
        last = [*self.states, *([self.in_flight] if self.in_flight is not None else [])]
        for tree in reversed([*self._coming, *last] if durable else last[len(self.states) - 1 :]):
            tree = self._with_numbers(tree, found)
            if tree.picture() == found:
                return tree
        return None

    def _with_numbers(self, tree: World, found: Found) -> World:
        """A state that knows the number of what was being made; it must be a new one."""
        paths = tree.paths()
        path = next((path for path, ino in paths.items() if local_of(ino) == UNKNOWN_LOCAL), None)
        if path is None or path not in found or found[path][0] <= self.highest_ino:
            return tree
        return tree.numbered(paths[path], number_of(tree_of(paths[path]), found[path][0]))

    def explain(self, found: Found, *, durable: bool) -> list[str]:
        """How what was found differs from the state that is closest to it."""
        trees = self.states if durable else self.states[-1:]
        pictures = [tree.picture() for tree in trees]
        closest = min(pictures, key=lambda picture: len(difference(found, picture)))
        number = pictures.index(closest)
        where = f"closest is state {number} of {len(pictures)}, {self.in_flight is not None} in flight"
        return [where, *difference(found, closest)[:6]]

    def landed(self, tree: World) -> None:
        """After a stop: this state was found, it is durable, and nobody holds anything."""
        self.states = [tree.named()]
        self._first = 0
        self.handles.clear()
        self.in_flight = None
        self._coming = []
        self.seen(*tree.paths().values())

    def seen(self, *numbers: int) -> None:
        """These inode numbers have shown."""
        self.highest_ino = max(self.highest_ino, *map(local_of, numbers))
