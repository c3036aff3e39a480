"""From a damaged store to the draft of a whole one, and the plan that says what has changed.

Promises to write nothing but the draft. What verifies is in the draft; what does not is named in the plan.

Steps: the superblock; rows out of the old index, each judged by itself; a root and whatever else records rely
on; the log; the namespace; packs and contents; counts; a new chunk. The new index holds all that the log
held, so the old chunks only keep bytes that extents point to.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from vfs.backing.chunks import LOG_FOLDER, chunk_name
from vfs.backing.creation import CreationOptions
from vfs.backing.draft import INDEX_FILES, DraftStorage, exists_in
from vfs.backing.file_names import INDEX_NAME
from vfs.backing.frames import encode_chunk_header
from vfs.backing.history import UNKNOWN_MAP, History
from vfs.backing.index import Index
from vfs.backing.log_salvage import Survey, survey
from vfs.backing.mending import Mending
from vfs.backing.places import PACKS_FOLDER
from vfs.backing.rebuild import finish_rebuild
from vfs.backing.salvage import OldRows
from vfs.backing.storage import Storage
from vfs.backing.superblock import FORMAT, Superblock
from vfs.backing.superblock import NAME as SUPERBLOCK_NAME
from vfs.backing.trees import FIRST_CHAIN
from vfs.checker import ProgressCall
from vfs.checks.each_tree import named_trees
from vfs.checks.naming import Names
from vfs.errors import OptionError
from vfs.inode.extent_map import ExtentMap
from vfs.inode.totals import Totals
from vfs.journal import INO_SEQUENCE
from vfs.limits import MIB
from vfs.numbers import MAIN_TREE
from vfs.repair.clones import ClonesInPlace
from vfs.repair.contents import ContentMender
from vfs.repair.data import find_data
from vfs.repair.found import LostAndFound
from vfs.repair.lenient_trees import LenientTrees
from vfs.repair.names import NameMender
from vfs.repair.old_index import LOG, OldIndex, open_old_index, replay_after
from vfs.repair.old_trees import OldTrees
from vfs.repair.packed import PackedRows
from vfs.repair.plan import Plan
from vfs.repair.recount import recount
from vfs.repair.recovered import name_contents
from vfs.repair.replaying import Replayed, replay
from vfs.repair.rescue import apply_data
from vfs.repair.rows import (
    MOST_CHUNK,
    MOST_INO,
    MOST_NUMBER,
    MOST_RESERVED,
    RowLoader,
)
from vfs.repair.uncertain import settle_uncertain

FOLDERS, DATA = "folders", "data"
SPARE = 1 << 20
"""Numbers left out where it is not known how far a sequence had come."""

_NUMBERS = ("next_blob", "next_block", "next_pack", "policy_hourly", "policy_daily", "policy_weekly")


class DraftMaker:
    """Makes the draft of one repaired store. `draft` is over the store, `old` has copies of its index."""

    def __init__(
        self,
        draft: DraftStorage,
        old: Storage,
        plan: Plan,
        progress: ProgressCall,
        owner: tuple[int, int],
        unsound: Mapping[int, str],
    ) -> None:
        self._draft = draft
        self._old = old
        self._plan = plan
        self._progress = progress
        self._owner = owner
        self._unsound = unsound
        """Trees that cannot be kept, as an earlier draft has shown, and why."""
        self.doubtful: dict[int, str] = {}
        """Trees that cannot be kept, as the log has shown: the draft has to be made without them."""
        self.kept: dict[int, str] = {}
        """Trees beside the main one that are in the draft, and what fsck calls them."""

    @property
    def set_aside(self) -> set[str]:
        """Files of the store that go, and are kept elsewhere."""
        gone = self._draft.removed - self._draft.hidden
        return {name for name in gone if exists_in(self._draft.below, name)}

    def make(self, superblock: Superblock, *, write_superblock: bool) -> None:
        """Make it."""
        self._told("superblock and folders")
        if write_superblock:
            self._superblock(superblock)
        self._folders()
        self._told("log")
        found = survey(self._draft, superblock.uuid)
        if not found.numbers:
            self._plan.add(LOG, "there is no chunk: what only the log had is lost")
        self._mend_chunks(superblock.uuid, found)
        for name in INDEX_FILES:
            self._set_aside(name)
        index = Index.create(self._draft)
        try:
            old = open_old_index(self._old, self._draft.path, self._plan)
            try:
                damaged = self._fill(index, old, superblock.uuid, found)
            finally:
                if old.rows is not None:
                    old.rows.close()
            self._data(index, superblock)
            self._referenced = set(index.referenced_chunks())
        finally:
            index.close()
        self._close_index()
        self._log(superblock.uuid, found, damaged)

    def _told(self, what: str, done: int = 0) -> None:
        self._progress(done, 0, what)

    def _set_aside(self, name: str) -> None:
        self._draft.removed.add(name)

    # --- superblock, folders ------------------------------------------------------------------

    def _superblock(self, superblock: Superblock) -> None:
        if self._draft.exists(SUPERBLOCK_NAME):
            self._set_aside(SUPERBLOCK_NAME)
        file = self._draft.create(SUPERBLOCK_NAME)
        file.append((replace(superblock, format=FORMAT).encode(),))
        file.close()

    def _folders(self) -> None:
        for name in (LOG_FOLDER, PACKS_FOLDER):
            try:
                self._draft.below.list(name)
            except OSError:
                if self._draft.exists(name):  # a file, a symbolic link: whatever it is, it is no folder
                    self._set_aside(name)
                    self._plan.add(FOLDERS, f"{name} is no folder: it is set aside")
                self._draft.make_folder(name)
                self._plan.add(FOLDERS, f"the folder {name} is missing: it is made")

    # --- the index ----------------------------------------------------------------------------

    def _fill(self, index: Index, old: OldIndex, uuid: bytes, found: Survey) -> bool:
        """Bring everything that can be had into the new index; True when the log is damaged."""
        self._told("rows of the index")
        trees = OldTrees(old.rows, old.meta, self._plan)
        with index.transaction() as transaction:
            mending = Mending.of(transaction)
            self._load(mending, old, trees)
            highest = min(mending.highest_ino(), MOST_INO)
            known = old.sequences.get(INO_SEQUENCE, 0)
            next_ino = known if known > highest else highest + SPARE
            lsn = replay_after(old, self._draft, uuid, found, self._plan, rolled_back=trees.rolled_back)
            transaction.put_sequences({INO_SEQUENCE: next_ino})
            transaction.put_meta({"lsn": lsn})
        index.load_trees()
        self._told("records of the log")
        lenient_trees = LenientTrees(trees.first_branch, self._unsound, self._plan)
        replayed = replay(self._draft, uuid, index, found, self._owner, highest, self._plan, lenient_trees)
        self.doubtful = lenient_trees.doubtful
        self.kept = {tree.id: name for tree, name in named_trees(index.trees) if name}
        clones = ClonesInPlace(index)
        with index.transaction() as transaction:
            mending = Mending.of(transaction)
            mending.write_as(trees.generation, {MAIN_TREE: FIRST_CHAIN})
            self._mend(mending, old, uuid, found, replayed, clones)
        clones.follow(index)
        return replayed.damaged

    def _load(self, mending: Mending, old: OldIndex, trees: OldTrees) -> None:
        """The old rows: those of the main tree flat and in order, what others see under other numbers."""
        history = History(mending)
        history.begin()
        mending.begin_loading()
        loader = RowLoader(old.rows, mending, self._plan, trees.generation)
        loader.load()
        trees.choose_main(history)
        if old.rows is not None and old.rows.lost_layers:
            trees.drop_all("rows that it sees may be lost")
        elif loader.contradictory:
            trees.drop_all("rows of the index contradict each other")
        for branch, gen in history.mixed_attributes():
            loader.altered[branch] = min(gen, loader.altered.get(branch, gen))
        trees.drop_seeing(loader.altered)
        for why in dict.fromkeys(self._unsound.values()):
            trees.drop([number for number, found in self._unsound.items() if found == why], why)
        altered = loader.altered if trees.trees else {}
        trees.renumber()
        used = {0 if branch == trees.first_branch else branch for branch in trees.branches}
        mending.write_as(trees.generation, {MAIN_TREE: FIRST_CHAIN})
        holes = old.rows.holes if old.rows is not None and trees.layered else {}
        if history.note_holes(trees.main_chain, holes):
            text = "what shows where rows are lost may be older than it should be: it is lost as well"
            self._plan.add("rows of the index", text)
        history.lay_flat(trees.main_chain, trees.generation)
        for branch, gen in altered.items():
            history.forget(branch, gen)
        if trees.trees:
            history.keep_branches(used)
            history.move_first_branch(trees.first_branch)
        else:
            history.clear()
        for parent, name in mending.end_loading():
            self._plan.add("positions in listings", f"entry {name!r} of directory {parent} gets a new one")
        self._lost_before: Counter[int] = Counter()
        contents = ContentMender(mending, self._plan)
        contents.undecodable(mending.segments_with(UNKNOWN_MAP))
        if loader.had_losses:
            self._lost_before = lost_bytes(mending.maps())
        self._names(mending, 0).before_replay()
        contents.missing()
        if not history.put_back():
            trees.drop_all("rows that it sees contradict each other")
            history.clear()
        trees.write(mending)

    def _names(self, mending: Mending, next_ino: int) -> NameMender:
        self._lost_and_found = LostAndFound(mending, self._plan, next_ino)
        return NameMender(mending, self._lost_and_found, self._plan, self._owner)

    def _mend(
        self,
        mending: Mending,
        old: OldIndex,
        uuid: bytes,
        found: Survey,
        replayed: Replayed,
        clones: ClonesInPlace,
    ) -> None:
        self._told("packs")
        history = History(mending)
        history.take_aside()
        clones.stand_in(mending)
        mending.raise_cookies()
        PackedRows(self._draft, uuid, mending, self._plan, self._set_aside).load(old.rows)
        self._told("names")
        next_ino = max(replayed.next_ino, min(mending.highest_ino(), MOST_INO) + 1)
        names = self._names(mending, next_ino)
        settle_uncertain(mending, replayed, self._plan, index_is_gone=old.rows is None)
        names.after_replay()
        contents = ContentMender(mending, self._plan)
        contents.sizes()
        recount(mending)
        self._lost_and_found.finish()
        names.count()
        clones.stand_down(mending)
        history.put_back()
        history.end()
        self._told("counts")
        if old.incomplete:
            recount(mending)
            name_contents(self._draft, uuid, mending, self._lost_and_found, self._plan, _dead_blobs(old.rows))
            self._lost_and_found.finish()
        recount(mending)
        mending.put_meta({key: old.meta[key] for key in _NUMBERS if 0 < old.meta.get(key, 0) < MOST_RESERVED})
        finish_rebuild(mending, contents.highest_blob)
        files, directories, logical = mending.totals()
        mending.put_meta(Totals(files, directories, logical).to_meta())
        mending.put_sequences({INO_SEQUENCE: self._lost_and_found.next_ino})
        noted = old.meta.get("lsn", 0)
        self._lsn = max(found.last_lsn, noted if noted < MOST_NUMBER else 0) + 1
        noted_chunk = old.meta.get("chunk", 0)
        chunks = [number for number in (*found.numbers, noted_chunk) if number < MOST_CHUNK]
        self._chunk = max([*chunks, contents.highest_chunk, 0]) + 1
        mending.put_meta({"lsn": self._lsn})
        mending.end_mending()

    def _data(self, index: Index, superblock: Superblock) -> None:
        """What cannot be read is lost from now on, what can be read of damaged packs goes into new ones."""
        plan = find_data(index, self._draft, superblock.uuid, self._progress, index_is_whole=True)
        for pack in plan.packs:
            name = f"pack {pack.id}" if not pack.name else f"{PACKS_FOLDER}/{pack.name}"
            self._plan.add(DATA, f"{name} goes ({pack.reason.rpartition(': ')[2]})")
        if plan.finds:
            text = f"{len(plan.finds)} contents of these that verify are copied into a new pack"
            self._plan.add(DATA, text, len(plan.finds))
        if plan.file_count:
            text = f"{plan.file_count} files lose {plan.lost_bytes} bytes that cannot be read, see below"
            self._plan.add(DATA, text, plan.file_count)
        try:
            options = CreationOptions.from_fields(superblock.options)
        except OptionError:
            options = CreationOptions()
        apply_data(plan, index, self._draft, superblock.uuid, options, workers=0)
        self._losses(index)

    def _losses(self, index: Index) -> None:
        """Every file that has lost bytes which it had before."""
        with index.checking(writable=False) as view:
            lost = lost_bytes(Mending.of(view).maps()) - self._lost_before
            names = Names(view.query).paths(lost)
        for path, ino in sorted((names[ino], ino) for ino in lost):
            self._plan.lose(path, lost[ino])

    def _close_index(self) -> None:
        """Leave one file that needs no other: without SQLite's own log beside it."""
        connection = self._draft.index_connection(INDEX_NAME, read_only=False)
        try:
            if not self._draft.shared_index:
                connection.pragma("locking_mode", "EXCLUSIVE")
            connection.pragma("journal_mode", "DELETE")
            connection.execute("VACUUM")
        finally:
            connection.close()

    # --- the log ------------------------------------------------------------------------------

    def _mend_chunks(self, uuid: bytes, found: Survey) -> None:
        """Put right what the chunks themselves tell: heads with one wrong bit, and headers."""
        for number in found.numbers:
            name = chunk_name(number)
            patches = list(found.mended.get(number, []))
            if patches:
                text = f"{len(patches)} heads of frames in {name} have a wrong bit: it is put right"
                self._plan.add(LOG, text, len(patches))
            if number in found.bad_headers and number in found.first_lsns:
                patches.insert(0, (0, encode_chunk_header(uuid, number, found.first_lsns[number], 0)))
                self._plan.add(LOG, f"{name} gets a new header")
            if patches:
                self._rewrite(name, patches)

    def _log(self, uuid: bytes, found: Survey, damaged: bool) -> None:
        """A new chunk to go on with; old ones stay while extents point into them."""
        for number in found.numbers:
            touched = number in found.bad_headers or number in found.mended
            if number not in self._referenced and (damaged or touched):
                self._draft.unlink(chunk_name(number))
                self._plan.add(LOG, f"{chunk_name(number)} is set aside: no file needs it any more")
        file = self._draft.create(chunk_name(self._chunk))
        file.append((encode_chunk_header(uuid, self._chunk, self._lsn + 1, self._lsn),))
        file.close()

    def _rewrite(self, name: str, patches: list[tuple[int, bytes]]) -> None:
        """Write a chunk anew, other in a few places."""
        source = self._draft.below.open(name)
        self._set_aside(name)
        target = self._draft.create(name)
        try:
            at = 0
            while data := source.pread(MIB, at):
                piece = bytearray(data)
                for offset, right in patches:
                    first, last = max(offset, at), min(offset + len(right), at + len(piece))
                    if first < last:
                        piece[first - at : last - at] = right[first - offset : last - offset]
                target.append((piece,))
                at += len(data)
        finally:
            source.close()
            target.close()


def _dead_blobs(old: OldRows | None) -> Callable[[int], bool]:
    """Whether the old index says of a blob that nothing referenced it."""
    dead: set[int] = set()
    if old is not None:
        for row in old.rows("blob"):
            if len(row) == 6 and row[5] == 0 and isinstance(row[0], int):
                dead.add(row[0])
    return dead.__contains__


def lost_bytes(maps: Iterable[tuple[int, bytes]]) -> Counter[int]:
    """By inode what its maps have lost."""
    lost: Counter[int] = Counter()
    for ino, encoded in maps:
        for _, length in ExtentMap.decode(encoded).lost():
            lost[ino] += length
    return lost


def root_owner(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Whose a root is of which nothing is known: whose the store is."""
    with suppress(OSError):
        found = os.stat(path)
        return found.st_uid, found.st_gid
    return 0, 0
