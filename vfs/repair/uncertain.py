"""Files of which the log tells only a part: never under their name as if they were whole.

Promises that what has a name holds what it held, as far as anybody can know: a file whose beginnings are
missing from the log loses its name and goes to /lost+found if there is anything in it, else it goes.
"""

from vfs.backing.mending import Mending
from vfs.repair.plan import Plan
from vfs.repair.replaying import Replayed


def settle_uncertain(mending: Mending, replayed: Replayed, plan: Plan, *, index_is_gone: bool) -> None:
    """Take the names of such files away, and forget those without content."""
    for ino in sorted(replayed.made):
        row = mending.inode_row(ino)
        if row is None or row[1] >> 12 == 4:
            continue
        if row[6] or mending.segment_numbers(ino):
            mending.take_names(ino)
            plan.add("names", f"the beginnings of inode {ino} are lost: what is left of it loses its name")
        else:
            mending.drop_inode(ino)
            plan.add("names", f"nothing but its name is known of inode {ino}: it goes")
    if index_is_gone and replayed.gap_ino:
        older = mending.named_files(replayed.gap_ino)
        for ino in older:
            mending.take_names(ino)
        if older:
            text = f"{len(older)} files may have changed where records are missing: they lose their names"
            plan.add("names", text, len(older))
