"""What was asked of this mount: how many requests of each kind, how they ended, and how long they took.

Promises that counting costs a request at most 0.5 µs, and that any thread may read at any time, also while
the owner waits for the disk. Never resets: whoever wants the figures of an interval takes the difference.

The time of a request is from when its handler begins until its answer is made, with all that it waits for:
a thread, a sync, being slowed down. What comes before and after is not in it: the kernel, the binding, and
waiting for the owner's thread, which `Upkeep.turn` samples.
"""

import errno
from typing import Any

from vfs.mount.latency import Latency


class Operation(Latency):
    """The requests of one kind that were answered."""

    __slots__ = ("errors",)

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[int, int] = {}

    def failed(self, number: int) -> None:
        """One was answered with that errno. It is added as any other."""
        self.errors[number] = self.errors.get(number, 0) + 1

    def figures(self) -> dict[str, Any]:
        errors = self.errors.copy()
        return {
            **super().figures(),
            "errors": {errno.errorcode.get(number, str(number)): found for number, found in errors.items()},
        }


class Requests(dict[str, Operation]):
    """By the name of the handler; those that never came are not there."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0
        self.written_bytes = 0

    def __missing__(self, name: str) -> Operation:
        made = self[name] = Operation()
        return made

    @property
    def total_ns(self) -> int:
        """Of all; it has grown when there was one."""
        return sum(operation.total_ns for operation in self.values())

    def figures(self) -> dict[str, Any]:
        """All of it for JSON, for any thread: by name, what took the most time first."""
        operations = {name: operation.figures() for name, operation in self.copy().items()}
        came = [item for item in operations.items() if item[1]["count"]]  # the first may be about to be added
        return dict(sorted(came, key=lambda item: -item[1]["total_seconds"]))


class Upkeep:
    """What the daemon does beside requests."""

    def __init__(self) -> None:
        self.commit = Latency()
        """From a commit's begin until the owner has taken note; a waiting fsync may see two of them."""
        self.sync = Latency()
        """Of that, the calls to the disk."""
        self.checkpoint = Latency()
        self.slice = Latency()
        """The parts of checkpoints during which requests wait."""
        self.index = Latency()
        """The index transactions of checkpoints, beside which they go on."""
        self.turn = Latency()
        """How late the owner's thread came to something that was due: what requests wait, too."""
        self.committed_frames = 0
        self.most_frames = 0
        """In one commit."""

    def committed(self, frames: int) -> None:
        """A commit has made so many frames durable."""
        self.committed_frames += frames
        self.most_frames = max(self.most_frames, frames)

    def figures(self) -> dict[str, Any]:
        """All of it for JSON, for any thread."""
        return {
            "commit": {
                **self.commit.figures(),
                "frames": self.committed_frames,
                "most_frames": self.most_frames,
            },
            "sync": self.sync.figures(),
            "checkpoint": self.checkpoint.figures(),
            "slice": self.slice.figures(),
            "index": self.index.figures(),
            "turn": self.turn.figures(),
        }
