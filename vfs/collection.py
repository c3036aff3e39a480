"""One collection under way: which packs it is about, and the rounds in which their live blobs are copied.

Promises that a round is bounded in memory, in new data, by the room there is and in what it changes at once,
and that damage stops nobody: blobs of a block that cannot be read stay where they are, in a pack that is
kept. Runs in a worker thread beside the owner: it reads the committed index and packs, writes new packs, and
changes no row but what announces them.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from vfs.backing.garbage import (
    AUTOMATIC,
    EAGER,
    DeadBlob,
    PackContent,
    PackFigures,
    choose_packs,
    content_of,
    dead_content,
    is_whole,
    survey_packs,
)
from vfs.backing.index import Index
from vfs.backing.pack_session import PackSession
from vfs.backing.packs import PackFile
from vfs.backing.places import BlobEntry, SealedPack
from vfs.errors import DataDamaged, NoSpace
from vfs.limits import MIB

log = logging.getLogger("vfs")

ROUND_BYTES = 128 * MIB
"""Live data that one round copies at the most, before compression; a single pack may hold more."""

ROUND_BLOBS = 100_000
"""Dead blobs that one round forgets, or one pack's more: a transaction of about a second."""

ProgressCall = Callable[[int, int, str], None]


class Collection(msgspec.Struct):
    """What a collection found and did; a dry run tells what it would do, and estimates `freed_bytes`."""

    packs: int = 0
    """That were there before."""
    packs_removed: int = 0
    """Of which nothing was live."""
    packs_rewritten: int = 0
    packs_kept: int = 0
    """That should have been rewritten, and hold damaged data."""
    dead_bytes: int = 0
    """In blobs that nothing referred to, in all packs, before compression."""
    moved_bytes: int = 0
    """In live blobs that were copied, before compression."""
    pruned_rows: int = 0
    """Of the index, which only deleted snapshots and removed clones showed; a dry run does not count them."""
    pruned_bytes: int = 0
    """Of stored data that only those rows referred to, about: a part of what the other figures say, but in a
    dry run, which does not look behind it."""
    freed_bytes: int = 0
    """Of pack files."""
    log_freed_bytes: int = 0
    index_freed_bytes: int = 0


class Round(NamedTuple):
    """What one round has made ready to be committed."""

    sealed: SealedPack | None
    going: list[PackFigures]
    dead: list[DeadBlob]
    emptied: list[int]
    """Blocks of packs that are kept, whose blobs have moved."""


class _Source(NamedTuple):
    """A thin pack that a round copies from."""

    figures: PackFigures
    pack: PackFile
    content: PackContent


class Collect:
    """What is to be done, and what came of it. The steps are those of `Collecting`."""

    def __init__(
        self,
        *,
        eager: bool,
        dry_run: bool,
        kept: set[int],
        progress: ProgressCall | None,
        log_bytes: int,
        unit_bytes: int,
    ) -> None:
        # constant
        self.dry_run = dry_run
        self._thresholds = (EAGER if eager else AUTOMATIC).on(unit_bytes)
        self._round_bytes = min(ROUND_BYTES, unit_bytes)
        self._kept = kept
        """Packs with damage, of this and earlier collections: not tried again."""
        self._progress = progress
        # mutable
        self.cancelled = False
        """Set by anyone who does not want to wait for it: it ends with the present block."""
        self.report = Collection()
        self.log_bytes = log_bytes
        """Of the log before it began, or before what was packed for it."""
        self.session: PackSession | None = None
        self.round: Round | None = None
        self.committed = False
        """The index has the round, and readers are still to be told."""
        self.certain = True
        """Nobody doubts what became of the commit: a failed one could come back, but not for want of room."""
        self._waiting: list[PackFigures] | None = None
        """Packs still to be removed or rewritten; None before they were looked for."""
        self._stale = False  # the figures of `_waiting` are from before a pass of the packer
        self._total_bytes = 0

    def next_round(
        self,
        index: Index,
        open_pack: Callable[[int, str], PackFile],
        open_session: Callable[[], PackSession],
        room_bytes: int,
    ) -> bool:
        """Look and copy; False when there is nothing more to do, else `round` is ready to be committed.

        NoSpace when none of the packs that are left can be copied into `room_bytes`.
        """
        if self._waiting is None:
            self._waiting = self._look(index)
        if self._stale:
            self._waiting = self._still_waiting(index, self._waiting)
        waiting = self._waiting
        self.round = None
        while waiting and self.round is None and not self.dry_run and not self.cancelled:
            if waiting[0].live_bytes <= 0:
                self.round = self._dead_round(index, waiting)
            else:
                sources = self._sources(index, open_pack, waiting, room_bytes)
                if sources:
                    self.session = open_session()
                    self.round = self._copying_round(self.session, sources)
        return self.round is not None

    def look_again(self) -> None:
        """Passes of the packer were made: they have found blobs that were dead, and made new ones."""
        self._stale = True

    def count(self) -> None:
        """The round is over: put it into the report."""
        found, self.round, self.session = self.round, None, None
        self.committed = False
        assert found is not None, "it was committed"
        report = self.report
        for pack in found.going:
            report.freed_bytes += pack.size
            if pack.live_bytes <= 0:
                report.packs_removed += 1
            else:
                report.packs_rewritten += 1
        if found.sealed is not None:
            report.freed_bytes -= found.sealed.size

    # --- looking --------------------------------------------------------------------------------

    def _look(self, index: Index) -> list[PackFigures]:
        figures = survey_packs(index)
        chosen = choose_packs([pack for pack in figures if pack.id not in self._kept], self._thresholds)
        self._total_bytes = sum(pack.live_bytes for pack in chosen)
        report = self.report
        report.packs = len(figures)
        report.dead_bytes = sum(pack.dead_bytes for pack in figures)
        if self.dry_run:
            report.packs_removed = sum(1 for pack in chosen if pack.live_bytes <= 0)
            report.packs_rewritten = len(chosen) - report.packs_removed
            report.moved_bytes = self._total_bytes
            report.freed_bytes = sum(pack.freeable_bytes for pack in chosen)
        self._tell()
        return chosen

    def _still_waiting(self, index: Index, packs: list[PackFigures]) -> list[PackFigures]:
        """The same packs as they are now, the dead ones first."""
        self._stale = False
        now = {pack.id: pack for pack in survey_packs(index)}
        return sorted(
            (now[pack.id] for pack in packs if pack.id in now), key=lambda pack: pack.live_bytes > 0
        )

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.report.moved_bytes, self._total_bytes, "")

    def _keep(self, pack: PackFigures, reason: str) -> None:
        self._kept.add(pack.id)
        self.report.packs_kept += 1
        log.error("pack %s is kept: %s; run vfs fsck --data on the store", pack.name, reason)

    # --- rounds ---------------------------------------------------------------------------------

    def _dead_round(self, index: Index, waiting: list[PackFigures]) -> Round | None:
        """Forget packs of which nothing is live; None when none of them can be believed to be so."""
        going: list[PackFigures] = []
        dead: list[DeadBlob] = []
        with index.checking(writable=False) as transaction:
            while waiting and waiting[0].live_bytes <= 0 and len(dead) < ROUND_BLOBS:
                pack = waiting.pop(0)
                content = dead_content(transaction, pack.id)
                if is_whole(content):
                    going.append(pack)
                    dead += content.dead
                else:
                    self._keep(pack, "its blobs do not fill its blocks in the index")
        return Round(None, going, dead, []) if going else None

    def _sources(
        self,
        index: Index,
        open_pack: Callable[[int, str], PackFile],
        waiting: list[PackFigures],
        room_bytes: int,
    ) -> list[_Source]:
        """As many thin packs as one round takes. The view of the index is closed before anything is written:
        where there is one connection, that is needed for the writing."""
        sources: list[_Source] = []
        size = 0
        fitting = [pack for pack in waiting if pack.copying_bytes <= room_bytes]
        if not fitting:
            least = min(pack.copying_bytes for pack in waiting)
            raise NoSpace(
                f"writing a pack anew takes {least} bytes until the old one goes; make room on the disk"
            )
        with index.checking(writable=False) as transaction:
            for figures in fitting:
                if sources and size + figures.live_bytes > self._round_bytes:
                    break
                if figures.copying_bytes > room_bytes:
                    continue
                waiting.remove(figures)
                try:
                    pack = open_pack(figures.id, figures.name)
                    content = content_of(transaction, figures.id, pack.blobs())
                except DataDamaged as error:
                    self._keep(figures, str(error))
                    continue
                if not is_whole(content):
                    self._keep(figures, "its own index and the store's do not agree")
                    continue
                sources.append(_Source(figures, pack, content))
                size += figures.live_bytes
                room_bytes -= figures.copying_bytes
        return sources

    def _copying_round(self, session: PackSession, sources: list[_Source]) -> Round | None:
        """Copy the live blobs of thin packs into a new one; None when it was cancelled."""
        going: list[PackFigures] = []
        dead: list[DeadBlob] = []
        emptied: list[int] = []
        for source in sources:
            damaged = self._copy(session, source)
            if self.cancelled:
                return None
            dead += [blob for blob in source.content.dead if blob.block not in damaged]
            if damaged:
                self._keep(source.figures, f"{len(damaged)} of its blocks cannot be read")
                emptied += [block for block in source.content.blocks if block not in damaged]
            else:
                going.append(source.figures)
        return Round(session.seal(), going, dead, emptied)

    def _copy(self, session: PackSession, source: _Source) -> set[int]:
        """Put the live blobs of a pack into the session; returns the blocks that cannot be read."""
        live: dict[int, list[BlobEntry]] = {}
        for entry in source.content.live:
            live.setdefault(entry.block, []).append(entry)
        damaged: set[int] = set()
        for block in sorted(source.pack.blocks(), key=lambda found: found.offset):
            entries = live.get(block.id)
            if entries is None:
                continue
            if self.cancelled:
                break
            try:
                data = memoryview(source.pack.read_block(block))
            except DataDamaged as error:
                log.error("live data cannot be moved: %s", error)
                damaged.add(block.id)
                continue
            for entry in sorted(entries, key=lambda found: found.offset):
                session.add_known(entry.id, data[entry.offset : entry.offset + entry.length])
                self.report.moved_bytes += entry.length
            self._tell()
        return damaged
