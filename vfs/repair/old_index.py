"""What can be had of the index of a damaged store: its rows, its own numbers, and of which moment it is.

Promises to say in the plan what of it is damaged. Never writes, and never judges a row of the namespace.
"""

from pathlib import Path
from typing import NamedTuple

from vfs.backing.file_names import INDEX_NAME
from vfs.backing.frame_runs import Place
from vfs.backing.log_salvage import Missing, Survey, may_be_at, salvage_frames
from vfs.backing.salvage import OldRows, open_rows
from vfs.backing.schema import VERSION
from vfs.backing.storage import Storage
from vfs.errors import NewerFormat
from vfs.repair.old_trees import TREES
from vfs.repair.plan import Plan
from vfs.repair.rows import MOST_INO, MOST_NUMBER, read_numbers

INDEX, LOG = "index", "log"


class OldIndex(NamedTuple):
    """What could be had of the old index."""

    rows: OldRows | None
    meta: dict[str, int]
    sequences: dict[str, int]
    incomplete: bool
    """Whether rows may be missing that were there."""


def open_old_index(storage: Storage, path: Path, plan: Plan) -> OldIndex:
    """Read the index in `storage`, of the store at `path`. NewerFormat."""
    if not storage.exists(INDEX_NAME):
        plan.add(INDEX, f"{INDEX_NAME} is missing: it is made anew from log and packs")
        plan.add(TREES, "if there were any, they are lost with the index")
        return OldIndex(None, {}, {}, True)
    rows, reason = open_rows(storage)
    if reason is not None:
        plan.add(INDEX, f"{INDEX_NAME} is damaged ({reason}): what verifies goes into a new one")
    else:
        plan.add(INDEX, f"{INDEX_NAME} is written anew, and all that it counts is counted again")
    if rows.lost_pages:
        plan.add(INDEX, f"{rows.lost_pages} pages of it cannot be read", rows.lost_pages)
    meta = read_numbers(rows, "meta", 2**63 - 1)
    if meta.get("schema", VERSION) > VERSION:
        raise NewerFormat(path, meta["schema"], VERSION)
    incomplete = reason is not None and (rows.lost_pages > 0 or "lsn" not in meta)
    return OldIndex(rows, meta, read_numbers(rows, "sequence", MOST_INO), incomplete)


def replay_after(
    old: OldIndex, draft: Storage, uuid: bytes, found: Survey, plan: Plan, *, rolled_back: bool
) -> int:
    """The LSN behind which the log is applied: that of the old rows.

    Where rows are lost, or do not say of which LSN they are, all of the log is applied that ends it
    without a gap: on rows of any moment since then that gives the same, and what was lost comes back. Not
    so after a rollback, of which the log knows nothing: what was before it must not come back.
    """
    if old.rows is None:
        return 0
    lsn = old.meta.get("lsn", -1)
    place = Place(*(old.meta.get(key, 0) for key in ("chunk", "frame", "start")))
    known = 0 <= lsn < MOST_NUMBER and may_be_at(draft, uuid, lsn, place)
    if known and not old.incomplete:
        return lsn
    if not known:
        plan.add(INDEX, "it does not say up to where it has the log")
    if rolled_back:
        after = lsn if known else found.last_lsn
        text = f"there was a rollback: records up to {after} may be older than it, and are not applied again"
        plan.add(LOG, text)
        return after
    frames = salvage_frames(draft, uuid, 0, found.synced_lsn)
    last_gap = max((frame.last for frame in frames if isinstance(frame, Missing)), default=0)
    if known and (last_gap > lsn or found.last_lsn < lsn):
        return lsn
    if found.numbers:
        plan.add(LOG, f"all records from {last_gap + 1} on are applied once more")
    return last_gap
