"""What the store holds in all: files, directories and the sum of file sizes.

Promises to equal a count over all linked inodes, without ever counting them again.
Never persists itself: a checkpoint stores `to_meta()`.
"""

from dataclasses import dataclass

from vfs.backing.trees import join_bits, split_bits
from vfs.inode.inode import Inode


@dataclass(slots=True)
class Totals:
    """Counts over the inodes that have a name. `files` is everything but directories."""

    files: int = 0
    directories: int = 0
    logical_bytes: int = 0

    @classmethod
    def from_meta(cls, meta: dict[str, int]) -> "Totals":
        """As the last checkpoint stored them."""
        logical = join_bits(meta.get("logical_bytes", 0), meta.get("logical_bytes_high", 0))
        return cls(meta.get("files", 0), meta.get("directories", 0), logical)

    def to_meta(self) -> dict[str, int]:
        """As a checkpoint stores them."""
        low, high = split_bits(self.logical_bytes)
        return {
            "files": self.files,
            "directories": self.directories,
            "logical_bytes": low,
            "logical_bytes_high": high,
        }

    def linked(self, inode: Inode, sign: int) -> None:
        """An inode got its first name (sign 1) or lost its last one (-1)."""
        kind = inode.mode & 0o170000
        if kind == 0o040000:
            self.directories += sign
            return
        self.files += sign
        if kind == 0o100000:
            self.logical_bytes += sign * inode.size
