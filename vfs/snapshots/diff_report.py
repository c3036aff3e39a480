"""A comparison as it is handed over: differences in plain fields, and their sums.

Promises the same fields whoever compares, a library, a daemon or the command line. Never looks into a store.
"""

import os
from collections.abc import Iterable
from typing import Any

from vfs.filesystem import FileSystem
from vfs.snapshots.comparing import CONTENT
from vfs.snapshots.diff import Difference
from vfs.snapshots.kinds import ADDED, CHANGED, REMOVED, RENAMED
from vfs.snapshots.sides import default_other

KINDS = (ADDED, REMOVED, CHANGED, RENAMED)


def to_fields(difference: Difference) -> dict[str, Any]:
    """A difference as JSON has it. Bytes of paths that are no UTF-8 are lone surrogates (os.fsdecode)."""
    fields = difference._asdict()
    fields["path"] = os.fsdecode(difference.path)
    fields["old_path"] = None if difference.old_path is None else os.fsdecode(difference.old_path)
    fields["changes"] = list(difference.changes)
    return fields


def sums(differences: Iterable[Difference]) -> dict[str, int]:
    """How many differences of each kind there are, and the bytes of files: those that were added, removed,
    and changed in content (as they are now), and by how much all of it grew."""
    found = dict.fromkeys(KINDS, 0)
    found.update(dict.fromkeys((f"{kind}_bytes" for kind in (ADDED, REMOVED, CHANGED)), 0))
    growth = 0
    for each in differences:
        found[each.kind] += 1
        if each.kind == REMOVED:
            found["removed_bytes"] += each.old_size
        elif each.kind == ADDED:
            found["added_bytes"] += each.size
        elif CONTENT in each.changes:
            found["changed_bytes"] += each.size
        if each.kind in (ADDED, REMOVED) or each.changes:
            growth += each.size - each.old_size
    return {**found, "growth_bytes": growth}


def report(fs: FileSystem, old: str, new: str | None, *, stat: bool) -> dict[str, Any]:
    """What was compared, the sums and, without `stat`, all differences."""
    found = list(fs.diff(old, new))
    words = {"old": old, "new": new or default_other(old)}
    return {**words, **sums(found), **({} if stat else {"differences": [to_fields(each) for each in found]})}
