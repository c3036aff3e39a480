"""The data half of a repair: what cannot be read any more becomes a lost range, all else is kept.

`find_data` reads and says what is wrong and what will be done; `apply_data` (`rescue.py`) does it. They are
for a store that nobody else uses and whose index holds what the log says, with names in order. Both go by the
checks of fsck (`vfs/checks/`): a plan is empty exactly when those have nothing to say about data, and what is
done leaves them nothing to say. So a second repair finds nothing.

What is done: a pack with any fault (its file is missing, its tables, a block, a blob or a row about them is
wrong) goes. What files need of it and verifies is copied into a new pack: whole blobs under their numbers, of
blobs with a bad piece the sound parts as new blobs. Ranges of files that are left without bytes become lost
ranges, as fine as sums go: 32 KiB in the log and in blocks that are stored as they are, else a whole block.
Everything that is counted is counted anew.

Memory: 16 bytes for each blob of the store, and what is known of each blob that has to be looked for, so at
the most of those in damaged packs; nothing for files, of which the first are named.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from vfs.backing.chunks import ChunkReader, chunk_numbers
from vfs.backing.index import Index
from vfs.backing.places import PACKS_FOLDER, THERE
from vfs.backing.storage import Storage
from vfs.checks.accounts import Accounts
from vfs.checks.data import DataCheck
from vfs.checks.each_tree import check_contents
from vfs.checks.naming import Names
from vfs.checks.packs import PackChecks
from vfs.checks.report import MOST_FILES, ProgressCall, Report
from vfs.checks.view import View, list_packs
from vfs.limits import FILE_BYTES
from vfs.numbers import LOCAL_MASK
from vfs.repair.losing import MapMender, SavedPart
from vfs.repair.saving import Find, find_blobs

SEGMENTS_OF_FILES = (
    "SELECT x.ino, x.segment, x.gen, x.map, i.size FROM extent x JOIN inode i ON i.ino=x.ino"
    f" WHERE x.ino<={LOCAL_MASK} UNION ALL"
    f" SELECT ino, segment, gen, map, {FILE_BYTES} FROM extent WHERE ino>{LOCAL_MASK}"
    " ORDER BY 1, 2, 3"
)
"""Those of the main tree, which is flat, with the size of the file; then those of snapshots and clones."""

MOST_RANGES = 100
"""Lost ranges of one file that are told one by one; of the others only the number and the bytes."""


class LostFile(msgspec.Struct):
    """A file that loses bytes."""

    path: str
    """Or `inode N` where there is none."""
    ranges: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(offset, length), in order, the first of them."""
    range_count: int = 0
    lost_bytes: int = 0

    def add(self, offset: int, length: int) -> None:
        """One more range behind the others."""
        self.lost_bytes += length
        if self.ranges and sum(self.ranges[-1]) == offset and len(self.ranges) == self.range_count:
            self.ranges[-1] = (self.ranges[-1][0], self.ranges[-1][1] + length)
            return
        self.range_count += 1
        if len(self.ranges) < MOST_RANGES:
            self.ranges.append((offset, length))


class PackFate(msgspec.Struct, frozen=True):
    """A pack that goes."""

    id: int
    name: str
    reason: str


class DataPlan(msgspec.Struct):
    """What is wrong with data, and what will be done. Empty: nothing is, and nothing will be."""

    problems: list[str] = msgspec.field(default_factory=list)
    """What fsck would say; the first of them."""
    problem_count: int = 0
    files: list[LostFile] = msgspec.field(default_factory=list)
    """That lose bytes by this; the first of them, by inode number."""
    file_count: int = 0
    lost_bytes: int = 0
    packs: list[PackFate] = msgspec.field(default_factory=list)
    """That go, with what of them is needed and sound copied before."""
    saved_bytes: int = 0
    """In blobs that are copied, before compression."""
    waste: list[str] = msgspec.field(default_factory=list)
    """Files in the folder of packs that no row names, and that go."""
    unknown: list[str] = msgspec.field(default_factory=list)
    """The same, of which the index cannot be trusted to know: they stay."""

    finds: dict[int, Find] = msgspec.field(default_factory=dict)
    """For `apply_data`: where each blob is that has to be copied."""
    missing: set[int] = msgspec.field(default_factory=set)
    """For `apply_data`: blobs of which nothing can be had."""
    damaged_rows: set[tuple[int, int]] = msgspec.field(default_factory=set)
    """For `apply_data`: (inode, segment) where ranges of the log have to be looked at."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.problem_count


class StoredChunks:
    """The chunks of a log on its disk, without the log."""

    def __init__(self, storage: Storage, uuid: bytes) -> None:
        self.reader = ChunkReader(storage, uuid)
        self._numbers = chunk_numbers(storage)

    def chunk_numbers(self) -> list[int]:
        """Those that exist."""
        return list(self._numbers)

    def check_range(self, chunk: int, frame: int, start: int, length: int) -> None:
        """DataDamaged unless that range lies in the data of a valid frame."""
        self.reader.check(chunk, frame, start, length)


def find_data(
    index: Index, storage: Storage, uuid: bytes, progress: ProgressCall | None = None, *, index_is_whole: bool
) -> DataPlan:
    """Look at all data; writes nothing. IndexDamaged when the index itself cannot be read.

    `index_is_whole`: nothing of the index was lost, so a pack that it does not name is waste.
    """
    pack_files = list_packs(storage)
    chunks = StoredChunks(storage, uuid)
    plan = DataPlan()
    with index.checking(writable=False) as transaction:
        report = Report()
        view = View(transaction, storage, uuid, chunks, pack_files, report)
        packs = PackChecks(view)
        packs.rows()
        packs.files()
        extents = check_contents(view)
        DataCheck(view, packs.in_place, progress).run()
        strangers = [f"{PACKS_FOLDER}/{name}" for name in sorted(view.strangers)]
        if index_is_whole:
            plan.waste = strangers
        else:
            plan.unknown = strangers
        plan.problem_count = report.problem_count - len(plan.unknown)
        if plan.empty:
            return plan
        plan.problems = [problem.message for problem in report.problems]
        assert extents.accounts is not None, "they were looked at"
        _fill(plan, view, extents.accounts, chunks.reader)
    return plan


def _fill(plan: DataPlan, view: View, accounts: Accounts, reader: ChunkReader) -> None:
    """What will become of packs, blobs and files."""
    names = dict(view.query("SELECT id, name FROM pack"))
    plan.packs = [
        PackFate(number, names.get(number, ""), reason) for number, reason in sorted(view.sick_packs.items())
    ]
    wanted = _wanted(view, accounts)
    plan.finds = find_blobs(view, wanted)
    plan.missing = wanted - plan.finds.keys()
    plan.saved_bytes = sum(find.size for find in plan.finds.values())
    plan.damaged_rows = {(ino, number) for ino, number, _ in view.damaged_rows}
    file: LostFile | None = None
    files: dict[int, LostFile] = {}
    current = 0
    for ino, offset, length in _losses(plan, view, accounts, reader):
        plan.lost_bytes += length
        if ino != current:
            current, file = ino, LostFile("")
            plan.file_count += 1
            if len(files) < MOST_FILES:
                files[ino] = file
        if file is not None:
            file.add(offset, length)
    paths = Names(view.query).paths(files)
    for ino, lost in files.items():
        lost.path = paths[ino]
    plan.files = list(files.values())


def _wanted(view: View, accounts: Accounts) -> set[int]:
    """Blobs that files name, and that are in no sound pack as far as the index knows."""
    wanted = set(accounts.unknown)
    places = view.query(
        "SELECT b.id, k.pack, p.state FROM blob b LEFT JOIN block k ON k.id=b.block"
        " LEFT JOIN pack p ON p.id=k.pack ORDER BY b.id"
    )
    for (blob, pack, state), named in zip(places, accounts.blobs.found, strict=True):
        if named and (state != THERE or pack in view.sick_packs):
            wanted.add(blob)
    return wanted


def _losses(
    plan: DataPlan, view: View, accounts: Accounts, reader: ChunkReader
) -> Iterator[tuple[int, int, int]]:
    """(inode, offset, length) of all that files lose, in order."""
    saved = {
        number: [SavedPart(start, length, number, start) for start, length in find.parts]
        for number, find in plan.finds.items()
    }
    mender = map_mender(plan, saved, accounts, reader)
    for ino, number, _, encoded, size in view.query(SEGMENTS_OF_FILES):
        mended = mender.look(ino, number, encoded, size)
        for offset, length in mended.lost if mended is not None else ():
            yield ino, offset, length


def map_mender(
    plan: DataPlan, saved: dict[int, list[SavedPart]], accounts: Accounts, reader: ChunkReader
) -> MapMender:
    """What turns the maps of files into those that they get; `saved` is where the finds of the plan lie."""
    broken: dict[int, Any] = dict.fromkeys(plan.missing, ())
    for number, find in plan.finds.items():
        if find.is_whole:
            broken.pop(number, None)
        else:
            broken[number] = saved[number]

    def length_of(blob: int) -> int:
        find = plan.finds.get(blob)
        if find is not None:
            return find.blob.length
        position = accounts.blobs.position(blob)
        return 0 if position is None else accounts.blobs.lengths[position]

    return MapMender(broken, length_of, plan.damaged_rows, reader)
