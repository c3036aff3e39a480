"""A repair from beginning to end: look, plan, and, when somebody has said yes, act and check again.

Promises that nothing in the store is written before `act`, that a store without damage is not written at all,
and that the plan names everything that changes. The caller holds the lock of the store.
"""

import copy
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from vfs.backing.chunks import LOG_FOLDER, chunk_numbers, read_chunk_header
from vfs.backing.draft import INDEX_FILES, DraftStorage, copy_readable
from vfs.backing.file_names import INDEX_NAME
from vfs.backing.frames import BadBytes
from vfs.backing.lock import StoreLock
from vfs.backing.pages import PageFile
from vfs.backing.places import PACKS_FOLDER
from vfs.backing.storage import DirectoryStorage, Storage
from vfs.backing.store import REPAIR_NAME
from vfs.backing.superblock import Superblock
from vfs.checker import ProgressCall, Report, check_storage
from vfs.errors import RepairFailed, StoreError
from vfs.repair.making import DraftMaker, root_owner
from vfs.repair.placing import finish, is_pending, next_folder, place, read_steps, room_bytes, waste
from vfs.repair.plan import Plan
from vfs.repair.superblock import find_superblock

ScratchCall = Callable[[], Storage]
"""Gives an empty place to work in; whoever gave it takes it away."""

MOST_DRAFTS = 5
"""Each after the first is without what kept the one before from being sound."""

PENDING = "an interrupted repair"

PACKED_FORMAT = 2
"""Stores of format 1 have no folder for packs."""

OWN_FILES = re.compile(
    r"superblock\.json(\.new)?|lock|log|packs|index\.db(-wal|-shm|-journal)?|vfs\.log.*|control\.sock"
    r"|damaged|new-repair-.*"
)
"""What a store has in its folder."""


def _silent(done: int, total: int, what: str) -> None:
    """Nobody wants to know."""


class Repair:
    """One repair of one store: `look` first; then, if `needed`, `act`."""

    def __init__(self, storage: Storage, scratch: ScratchCall) -> None:
        self._storage = storage
        self._scratch = scratch
        self._progress: ProgressCall = _silent
        self._draft: DraftStorage | None = None
        self._set_aside: set[str] = set()
        self._pending = False
        self.plan = Plan()
        self.found = Report()
        """What the first look has found."""
        self.left = Report()
        """What would still be wrong afterwards; nothing, as far as anybody knows."""
        self.folder = ""
        """Where what is replaced is kept, in the store."""

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return self._pending or self._draft is not None

    @property
    def room_bytes(self) -> int:
        """What acting writes into the store."""
        return 0 if self._draft is None else room_bytes(self._draft)

    # --- looking ------------------------------------------------------------------------------

    def look(self, progress: ProgressCall | None = None) -> None:
        """Find out what is wrong and what would be done. StoreError when that cannot be found out."""
        self._progress = progress or _silent
        self._pending = is_pending(self._storage)
        if self._pending:
            steps = read_steps(self._storage)
            self.plan.add(PENDING, f"{REPAIR_NAME} says what was begun: it is brought to its end")
            self.found.add("repair", f"a repair was interrupted, see {REPAIR_NAME}")
            self.folder = "" if steps is None else steps.folder
            return
        plan = Plan()
        superblock, write, superblock_reason = find_superblock(self._storage, plan)
        looking = DraftStorage(self._storage, self._scratch(), hidden=waste(self._storage))
        for name in INDEX_FILES:
            copy_readable(self._storage, name, looking.above)
        try:
            if not self._damaged(looking, superblock, superblock_reason):
                return
            self._make(looking, plan, superblock, write_superblock=write)
        finally:
            looking.close()
        self.folder = next_folder(self._storage)
        self._notes()

    def _make(
        self, looking: DraftStorage, plan: Plan, superblock: Superblock, *, write_superblock: bool
    ) -> None:
        """Make the draft. Where snapshots or clones keep it from being sound, once more without them."""
        unsound: dict[int, str] = {}
        owner = root_owner(self._storage.path)
        for left in reversed(range(MOST_DRAFTS)):
            self.plan = copy.deepcopy(plan)
            self.close()
            draft = DraftStorage(self._storage, self._scratch(), hidden=waste(self._storage))
            self._draft = draft
            maker = DraftMaker(draft, looking.above, self.plan, self._progress, owner, unsound)
            maker.make(superblock, write_superblock=write_superblock)
            self._set_aside = maker.set_aside
            more = dict(maker.doubtful)
            if not more:
                self.left = check_storage(draft, self._progress, data=True)
                if self.left.clean:
                    return
                more = _to_blame(self.left, maker.kept)
            if left == 1:  # the last one is without any
                more = dict.fromkeys(maker.kept, next(iter(more.values()), ""))
            if not more.keys() - unsound.keys():
                return
            unsound |= more

    def _damaged(self, looking: DraftStorage, superblock: Superblock, superblock_reason: str | None) -> bool:
        """Whether there is anything to repair."""
        if superblock_reason is not None:
            self.found.add("superblock", superblock_reason)
        for folder in (LOG_FOLDER, PACKS_FOLDER) if superblock.format >= PACKED_FORMAT else (LOG_FOLDER,):
            try:
                self._storage.list(folder)
            except OSError:
                self.found.add("store", f"there is no folder {folder}")
        if self.found.clean:
            try:
                self._empty_pages(looking)
                self._chunk_headers(superblock.uuid)
                if self.found.clean:
                    self.found = check_storage(looking, self._progress)
                if self.found.clean:
                    self.found = check_storage(looking, self._progress, data=True)
            except (StoreError, OSError) as error:
                self.found.add("store", str(error))
        return not self.found.clean

    def _chunk_headers(self, uuid: bytes) -> None:
        """A chunk before others whose header is wrong: nothing needs the header but to remove the chunk."""
        bad: list[tuple[int, str]] = []
        for number in chunk_numbers(self._storage):
            try:
                read_chunk_header(self._storage, number, uuid)
            except (BadBytes, OSError) as error:
                bad.append((number, str(error)))
            else:
                for other, reason in bad:
                    self.found.add("log", f"chunk {other}: {reason}")
                bad.clear()  # what is bad at the end may be a torn tail

    def _empty_pages(self, looking: DraftStorage) -> None:
        if looking.above.exists(INDEX_NAME):
            pages = PageFile(looking.above, INDEX_NAME)
            for number in pages.emptied():
                self.found.add("index", f"page {number} is empty")
            pages.close()

    def _notes(self) -> None:
        """What is worth knowing and changes nothing."""
        for note in self.left.notes:
            self.plan.note(note)
        for name in self._storage.list(""):
            if not OWN_FILES.fullmatch(name):
                self.plan.note(f"{name} is no part of a store: it stays as it is")

    # --- acting -------------------------------------------------------------------------------

    def act(self, progress: ProgressCall | None = None) -> Report:
        """Do it, and check the store once more. RepairFailed when it could not be done."""
        self._progress = progress or _silent
        if self._pending:
            try:
                finish(self._storage)
            except OSError as error:
                raise RepairFailed(self._storage.path, error.strerror or str(error)) from error
            self._pending = False
            self.plan = Plan(notes=self.plan.notes)
            self.found = Report()
            self.look(progress)
            if not self.needed:
                return self.found
        assert self._draft is not None, "there is nothing to do"
        try:
            self.folder = place(self._draft, self._set_aside, msgspec.to_builtins(self.plan))
        except OSError as error:
            raise RepairFailed(self._storage.path, error.strerror or str(error)) from error
        return check_storage(self._storage, self._progress)

    def close(self) -> None:
        """Give back what was made on the way."""
        if self._draft is not None:
            self._draft.close()
            self._draft = None


def _to_blame(report: Report, trees: dict[int, str]) -> dict[int, str]:
    """Trees without which the draft would be sound, and why: those of which a problem is told, else all."""
    numbers = {f"in {name}": number for number, name in trees.items()}
    found: dict[int, str] = {}
    for problem in report.problems:
        where, _, message = problem.message.partition(": ")
        if where in numbers:
            found.setdefault(numbers[where], f"it is not sound ({message})")
    return found or dict.fromkeys(trees, f"it is not sound ({report.problems[0].message})")


@contextmanager
def repairing(path: Path) -> Iterator[Repair]:
    """A repair of a store in a directory, locked meanwhile; works in a temporary folder beside."""
    with ExitStack() as stack:
        storage = DirectoryStorage(path)
        stack.callback(storage.close)
        if not is_pending(storage):
            find_superblock(storage, Plan())  # before the lock makes its file: maybe this is no store at all
        stack.enter_context(StoreLock.acquire(storage))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vfs-repair-")))

        def scratch() -> Storage:
            place = folder / str(len(list(folder.iterdir())))
            place.mkdir(mode=0o700)
            return DirectoryStorage(place)

        repair = Repair(storage, scratch)
        stack.callback(repair.close)
        yield repair
