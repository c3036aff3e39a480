"""A script that stands in for the file system below a packer: it notes the steps, and who takes them."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import trio

from vfs.backing.epochs import Epochs


class Work:
    """A pass."""

    cancelled = False
    ended = False
    give_way: Callable[[], float] | None = None
    packed_bytes = 100
    log_bytes = 0
    swapped_rows = 1


class Pruned:
    """Slices of pruning."""

    rows = 0

    def tell(self, report: str) -> str:
        return report


class Script:
    """Stands in for a file system that has `passes` passes to do, and for its committer."""

    def __init__(self, passes: int) -> None:
        self.left = passes
        self.done: list[str] = []
        self.failed = None
        self.read_only = False
        self.log = SimpleNamespace(size_bytes=0)
        self.prune_due = False
        self.to_prune = 1
        self.looks: list[bool] = []
        """Whether what is hidden was looked for, each time."""
        self.prune: Callable[[], None] = lambda: None
        self.pack_wants_checkpoint = False
        self.gc_due = False
        self.low_on_room = False
        self.log_is_thin = False
        self.presses = 0
        self.pack_leisure = 1.0
        self.run: Callable[[Work], None] = lambda work: None
        self.commit: Callable[[], None] = lambda: None
        self.checkpointing = trio.Lock()
        self.owner = threading.get_ident()
        self.slices = 2
        self.works: list[Work] = []
        self.epochs = Epochs()
        self.packs_may_go = False

    # the committer

    async def checkpoint(self, *, anyway: bool = False) -> None:
        async with self.checkpointing:
            self.done.append("checkpoint anyway" if anyway else "checkpoint")

    # the file system

    @property
    def pack_due(self) -> bool:
        return self.left > 0

    @property
    def backlog_bytes(self) -> int:
        return self.left * 100

    def writable(self) -> None:
        pass

    def seal_log(self) -> int:
        self.done.append("seal")
        return 7

    def roll_log(self) -> bool:
        return True

    def remove_drained_chunks(self) -> None:
        assert threading.get_ident() == self.owner

    def give_back(self) -> None:
        assert threading.get_ident() != self.owner

    def begin_pack(self, *, everything: bool, last_chunk: int | None) -> Work:
        assert threading.get_ident() == self.owner
        assert last_chunk == (7 if everything else None)
        self.done.append("begin all" if everything else "begin")
        self.works.append(Work())
        return self.works[-1]

    def run_pack(self, work: Work) -> bool:
        assert threading.get_ident() != self.owner
        self.done.append("run")
        self.run(work)
        return self.left > 0 and not work.cancelled

    def commit_pack(self, work: Work) -> None:
        assert threading.get_ident() != self.owner
        assert self.checkpointing.locked(), "a capture may be in flight"
        self.done.append("commit")
        self.commit()

    def follow_pack(self, work: Work) -> bool:
        assert threading.get_ident() == self.owner
        assert self.checkpointing.locked()
        self.slices -= 1
        return self.slices < 0

    def end_pack(self, work: Work) -> None:
        assert threading.get_ident() == self.owner
        assert self.checkpointing.locked()
        self.slices = 2
        self.left -= 1
        self.presses -= 1
        work.ended = True
        self.done.append("end")

    def log_wants_packing(self, *, eager: bool) -> bool:
        return self.log_is_thin

    def begin_collect(self, *, eager: bool, dry_run: bool, progress: object) -> Work:
        assert threading.get_ident() == self.owner
        assert self.done[-1] in ("checkpoint anyway", "prune", "estimate")
        self.done.append("begin eager" if eager else "begin")
        return Work()

    def run_collect(self, work: Work) -> bool:
        assert threading.get_ident() != self.owner
        self.done.append("look")
        self.run(work)
        return self.left > 0

    def commit_collect(self, work: Work) -> None:
        assert self.checkpointing.locked(), "a capture may be in flight"
        self.done.append("commit")
        self.commit()

    def end_collect(self, work: Work) -> None:
        assert threading.get_ident() == self.owner
        self.left -= 1
        self.done.append("end")

    @property
    def packing_presses(self) -> bool:
        return self.presses > 0

    def resume_collect(self, work: Work) -> None:
        assert threading.get_ident() == self.owner
        assert self.done[-1] == "checkpoint anyway"
        self.done.append("resume")

    # what is pruned

    def begin_prune(self, *, hidden: bool = True) -> "Pruned":
        assert threading.get_ident() == self.owner
        self.looks.append(hidden)
        return Pruned()

    def begin_slice(self, work: "Pruned") -> None:
        assert threading.get_ident() == self.owner
        assert self.checkpointing.locked()
        self.to_prune -= 1

    def run_slice(self, work: "Pruned") -> bool:
        assert threading.get_ident() != self.owner
        assert self.checkpointing.locked(), "a capture may be in flight"
        self.done.append("prune")
        self.prune()
        work.rows += 1
        return self.to_prune > 0

    def end_slice(self, work: "Pruned") -> None:
        assert threading.get_ident() == self.owner
        assert self.checkpointing.locked()
        self.prune_due = self.to_prune > 0

    def estimate_prune(self, work: "Pruned") -> None:
        assert threading.get_ident() != self.owner
        self.done.append("estimate")

    # the rest of a collection

    def remove_dead_log(self) -> None:
        self.done.append("log")

    def shrink_index(self, work: Work) -> None:
        assert threading.get_ident() != self.owner
        self.done.append("index")

    def finish_collect(self, work: Work) -> str:
        return "report"

    def abandon_collect(self, work: Work) -> None:
        self.done.append("abandon")

    def abandon_pack(self, work: Work) -> None:
        if work.ended:
            return
        self.done.append("abandon")
