"""Scripts: long rows of operations drawn from a seed, each of which makes sense where it stands.

A `Sketch` follows names only, so that what is drawn mostly succeeds. The same seed gives the same script;
nothing here touches a file system.
"""

import random
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple


class Step(NamedTuple):
    """One operation, as `Life` understands it."""

    verb: str
    args: tuple[Any, ...] = ()


SIZES = (1, 7, 60, 100, 300, 511, 1000, 3000, 4095, 4096, 5000, 9000, 20_000)
NAMES = tuple("abcdefgh")
LARGEST_OFFSET = 70_000


class Data(NamedTuple):
    """Bytes to write, described: `random`, `run` (one byte repeated), `mixed` (both), or `text`.

    Text compresses, and each is one of four: equal data is written again and again.
    """

    kind: str
    size_bytes: int
    seed: int

    def make(self) -> bytes:
        """The bytes."""
        if self.kind == "text":
            return _text(self.size_bytes, self.seed % 4)
        rng = random.Random(self.seed)
        if self.kind == "run":
            return bytes([rng.choice((0, 0, 65))]) * self.size_bytes
        data = rng.randbytes(self.size_bytes)
        return data if self.kind == "random" else data + bytes(8192) + data[:100]


Names = dict[str, tuple[str, int]]
"""Path -> kind ("file", "dir" or "other"), and a number that hard links have in common."""


CHANCES = {
    "create": 14,
    "write": 14,
    "append": 16,
    "truncate": 3,
    "punch": 3,
    "lose": 2,
    "clone": 4,
    "read": 2,
    "rename": 4,
    "replace": 4,
    "exchange": 2,
    "link": 3,
    "remove": 5,
    "attributes": 3,
    "xattr": 4,
    "handle": 5,
    "sync": 4,
    "slow_sync": 4,
    "checkpoint": 1,
    "slice": 12,
    "reopen": 1,
    "whole_pack": 1,
    "pack_stage": 7,
    "gc_stage": 7,
    "slow_read": 3,
}
"""How often each kind of step is drawn, in relation to the others."""


class Sketch:
    """The names that exist after the steps drawn so far."""

    chances: ClassVar[dict[str, int]] = CHANCES

    def __init__(self, rng: random.Random, kinds: "Names | None" = None) -> None:
        self.rng = rng
        self.kinds = dict(kinds or {})
        self.handles: list[int] = []
        self.next_handle = 0
        self.phase = ""  # of a checkpoint in slices
        self.syncing = False
        self.packing = ""  # the last step of a pass
        self.collecting = ""  # the last step of a collection
        self.reading = False
        self.drawn: list[Step] = []

    def paths(self, *kinds: str) -> list[str]:
        return [path for path, (kind, _) in self.kinds.items() if kind in kinds]

    def free_path(self) -> str | None:
        """A name that is not taken, not too deep."""
        folders = ["", *(path for path in self.paths("dir") if path.count("/") < 3)]
        path = f"{self.rng.choice(folders)}/{self.rng.choice(NAMES)}"
        return None if path in self.kinds else path

    def is_empty(self, path: str) -> bool:
        return not any(other.startswith(path + "/") for other in self.kinds)

    def move(self, old: str, new: str) -> None:
        """Everything at and below a path lies elsewhere now."""
        self.kinds = {_moved(path, old, new): node for path, node in self.kinds.items()}

    def apart(self, old: str, new: str) -> bool:
        """Whether names lie so that none can move, nor be linked, from one place to the other."""
        return False

    # --- drawing ----------------------------------------------------------------------------

    def draw(self) -> None:
        """One more step."""
        step: Step | None = None
        while step is None:
            verb = self.rng.choices(tuple(self.chances), tuple(self.chances.values()))[0]
            step = getattr(self, f"_{verb}")()
        self.drawn.append(step)

    def _create(self) -> Step | None:
        path = self.free_path()
        if path is None:
            return None
        kind = self.rng.choice(("file", "file", "file", "dir", "other"))
        self.kinds[path] = kind, -len(self.drawn)
        verb = {"file": "create", "dir": "mkdir"}.get(kind) or self.rng.choice(("symlink", "fifo"))
        return Step(verb, (path,))

    def _any_file(self) -> str | None:
        files = self.paths("file")
        return self.rng.choice(files) if files else None

    def _any_path(self) -> str | None:
        return self.rng.choice(list(self.kinds)) if self.kinds else None

    def _data(self) -> Data:
        kind = self.rng.choices(("random", "text", "run", "mixed"), (5, 2, 2, 1))[0]
        return Data(kind, self.rng.choice(SIZES), self.rng.getrandbits(32))

    def _write(self) -> Step | None:
        path = self._any_file()
        return (
            None if path is None else Step("write", (path, self.rng.randrange(LARGEST_OFFSET), self._data()))
        )

    def _append(self) -> Step | None:
        path = self._any_file()
        data = Data("random", self.rng.choice(SIZES[:7]), self.rng.getrandbits(32))
        return None if path is None else Step("append", (path, data))

    def _truncate(self) -> Step | None:
        path = self._any_file()
        return (
            None if path is None else Step("truncate", (path, self.rng.choice((0, 50, 5000, 30_000, 80_000))))
        )

    def _punch(self) -> Step | None:
        path, rng = self._any_file(), self.rng
        return None if path is None else Step("punch", (path, rng.randrange(30_000), rng.choice((50, 6000))))

    def _lose(self) -> Step | None:
        path, rng = self._any_file(), self.rng
        return None if path is None else Step("lose", (path, rng.randrange(20_000), rng.choice((70, 9000))))

    def _clone(self) -> Step | None:
        source, target, rng = self._any_file(), self._any_file(), self.rng
        if source is None or source == target:
            return None
        return Step("clone", (source, rng.choice((0, 10, 4096)), rng.choice((500, 40_000)), target, 100))

    def _read(self) -> Step | None:
        path = self._any_file()
        return None if path is None else Step("read", (path,))

    def _rename(self) -> Step | None:
        old, new = self._any_path(), self.free_path()
        if old is None or new is None or new.startswith(old + "/") or self.apart(old, new):
            return None
        self.move(old, new)
        return Step("rename", (old, new, self.rng.choice((0, 1))))

    def _replace(self) -> Step | None:
        old, new = self._any_path(), self._any_path()
        if old is None or new is None or old == new or new.startswith(old + "/") or self.apart(old, new):
            return None
        kinds = self.kinds[old][0], self.kinds[new][0]
        if kinds.count("dir") == 1 or not self.is_empty(new):
            return None
        if self.kinds[old] == self.kinds[new]:  # two names of one inode: nothing happens
            return Step("rename", (old, new, 0))
        del self.kinds[new]
        self.move(old, new)
        return Step("rename", (old, new, 0))

    def _exchange(self) -> Step | None:
        old, new = self._any_path(), self._any_path()
        if old is None or new is None or self.kinds[old] == self.kinds[new] or _related(old, new):
            return None
        if self.apart(old, new):
            return None
        self.move(old, "!")
        self.move(new, old)
        self.move("!", new)
        return Step("rename", (old, new, 2))

    def _link(self) -> Step | None:
        old, new = self._any_file(), self.free_path()
        if old is None or new is None or self.apart(old, new):
            return None
        self.kinds[new] = self.kinds[old]
        return Step("link", (old, new))

    def _remove(self) -> Step | None:
        path = self._any_path()
        if path is None or not self.is_empty(path):
            return None
        return Step("rmdir" if self.kinds.pop(path)[0] == "dir" else "unlink", (path,))

    def _attributes(self) -> Step | None:
        path, rng = self._any_path(), self.rng
        if path is None:
            return None
        changes = rng.choice(
            ({"mode": rng.randrange(0o10000)}, {"uid": 7, "gid": 8}, {"mtime_ns": rng.getrandbits(62)})
        )
        return Step("attributes", (path, changes))

    def _xattr(self) -> Step | None:
        path, rng = self._any_path(), self.rng
        if path is None:
            return None
        return Step(
            "xattr", (path, rng.choice((b"user.a", b"user.b")), rng.randbytes(rng.choice((0, 9, 900))))
        )

    def _handle(self) -> Step | None:
        if self.handles and self.rng.random() < 0.4:
            return Step("release", (self.handles.pop(self.rng.randrange(len(self.handles))),))
        if self.handles and self.rng.random() < 0.6:
            return Step("write_open", (self.rng.choice(self.handles), self._data()))
        path = self._any_file()
        if path is None:
            return None
        self.next_handle += 1
        self.handles.append(self.next_handle)
        return Step("open", (path, self.next_handle))

    def _sync(self) -> Step:
        return Step("sync")

    def _slow_sync(self) -> Step:
        self.syncing = not self.syncing
        return Step("begin_sync" if self.syncing else "end_sync")

    def _checkpoint(self) -> Step | None:
        return None if self.phase or self._swapping else Step("checkpoint")

    def _slice(self) -> Step | None:
        following = {"": "begin", "begin": "gather", "gather": "gather_rest", "gather_rest": "commit"}
        if self._swapping:
            return None
        if self.phase == "gather" and self.rng.random() < 0.6:
            return Step("gather")
        self.phase = following.get(self.phase, "")
        return Step(self.phase or "end")

    def _reopen(self) -> Step | None:
        if self.phase or self.syncing:
            return None
        self.handles.clear()
        self.packing = self.collecting = ""
        self.reading = False
        return Step("reopen")

    # --- packing ----------------------------------------------------------------------------

    @property
    def _swapping(self) -> bool:
        """The index has a pass or a round, and memory has not followed: no checkpoint may begin."""
        return self.packing == "pack_commit" or self.collecting == "gc_commit"

    def _whole_pack(self) -> Step | None:
        """Packing and collecting exclude each other, and neither commits while a checkpoint is taken."""
        if self.phase or self.packing or self.collecting:
            return None
        verb = self.rng.choices(WHOLE_PACKING, (3, 2, 2))[0]
        return Step(verb, (self.rng.random() < 0.5,) if verb == "pack" else ())

    def _pack_stage(self) -> Step | None:
        """The next step of a pass."""
        if self.collecting:
            return None
        if self.packing and not self._swapping and self.rng.random() < 0.1:
            self.packing = ""
            return Step("pack_abandon")
        following = {"": "pack_begin", "pack_begin": "pack_run", "pack_run": "pack_commit"}
        verb = following.get(self.packing, "pack_end")
        if verb == "pack_commit" and self.phase:
            return None
        self.packing = verb if verb != "pack_end" else ""
        if verb != "pack_begin":
            return Step(verb)
        return Step(verb, (self.rng.random() < 0.7, self.rng.choice((3000, 30_000, 1 << 30))))

    def _gc_stage(self) -> Step | None:
        """The next step of a collection."""
        if self.packing:
            return None
        if self.collecting and not self._swapping and self.rng.random() < 0.05:
            self.collecting = ""
            return Step("gc_abandon")
        following = {"": "gc_begin", "gc_begin": "gc_run", "gc_run": "gc_commit", "gc_commit": "gc_end"}
        verb = following.get(self.collecting) or self.rng.choice(("gc_run", "gc_finish"))
        if verb in ("gc_begin", "gc_commit", "gc_finish") and self.phase:
            return None
        self.collecting = verb if verb != "gc_finish" else ""
        return Step(verb)

    def _slow_read(self) -> Step | None:
        """A read that goes on while other things happen."""
        self.reading = not self.reading
        if not self.reading:
            return Step("end_read")
        path = self._any_file()
        self.reading = path is not None
        return None if path is None else Step("begin_read", (path,))


WHOLE_PACKING = ("pack", "flush", "collect_all")
PACK_STAGES = ("pack_begin", "pack_run", "pack_commit", "pack_end", "pack_abandon")
GC_STAGES = ("gc_begin", "gc_run", "gc_commit", "gc_end", "gc_finish", "gc_abandon")
PACKING = (*WHOLE_PACKING, *PACK_STAGES, *GC_STAGES)
"""The verbs of steps that move data and change nothing that shows."""


def script(seed: object, length: int, kinds: Names | None = None) -> list[Step]:
    """So many steps; `kinds` are the names to begin with. Ends with no sync: that is what a cut is for."""
    sketch = Sketch(random.Random(f"script {seed}"), kinds)
    for _ in range(length):
        sketch.draw()
    return sketch.drawn


def without(steps: Iterable[Step], *verbs: str) -> list[Step]:
    """The script with all steps of some kinds left out."""
    return [step for step in steps if step.verb not in verbs]


def _moved(path: str, old: str, new: str) -> str:
    if path == old or path.startswith(old + "/"):
        return new + path[len(old) :]
    return path


def _related(first: str, second: str) -> bool:
    return first.startswith(second + "/") or second.startswith(first + "/")


def _text(size_bytes: int, number: int) -> bytes:
    rng = random.Random(f"text {number}")
    line = b" ".join(rng.choice((b"log", b"pack", b"index", b"%d" % rng.randrange(999))) for _ in range(200))
    return (line * (size_bytes // len(line) + 1))[:size_bytes]
