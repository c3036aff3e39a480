"""What records of the log are made of: bounds of their fields, where their data lies, and their common base.

Bounds are checked when a record is decoded, never when one is made by code. Never a record itself.
"""

from typing import Annotated

import msgspec

from vfs.backing.frame_runs import DataPlace as DataPlace
from vfs.inode.table import InodeTable
from vfs.limits import FILE_BYTES, FRAME_DATA_BYTES, LAST_NUMBER, LINKS_IN_A_ROW, NAME_BYTES
from vfs.numbers import LAST_TREE, LOCAL_MASK

Ino = Annotated[int, msgspec.Meta(ge=1, le=FILE_BYTES)]
InoOrNone = Annotated[int, msgspec.Meta(ge=0, le=FILE_BYTES)]
Name = Annotated[bytes, msgspec.Meta(min_length=1, max_length=NAME_BYTES)]
Cookie = Annotated[int, msgspec.Meta(ge=3, le=LAST_NUMBER)]
Mode = Annotated[int, msgspec.Meta(ge=0, le=0o177777)]
Owner = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Links = Annotated[int, msgspec.Meta(ge=0, le=LINKS_IN_A_ROW)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=FILE_BYTES)]
Time = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
TreeId = Annotated[int, msgspec.Meta(ge=1, le=LAST_TREE)]
BranchId = Annotated[int, msgspec.Meta(ge=0, le=LAST_TREE)]
Local = Annotated[int, msgspec.Meta(ge=1, le=LOCAL_MASK)]
Generation = Annotated[int, msgspec.Meta(ge=1, le=LAST_NUMBER)]
Run = tuple[
    Annotated[int, msgspec.Meta(ge=1, le=FRAME_DATA_BYTES)], Annotated[int, msgspec.Meta(ge=-1, le=255)]
]


class Change(msgspec.Struct, frozen=True, array_like=True, tag_field="t"):
    """Base of all records. `place` is `NOWHERE` for a record without data."""

    def apply(self, table: InodeTable, place: DataPlace) -> None:
        """Make the change in the tables."""
        raise NotImplementedError


NOWHERE = DataPlace(0, 0, 0, 0, b"")
