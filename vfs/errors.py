"""Every error that the package raises on purpose.

An error carries its facts in fields and says in one line what is wrong and what to do.
None of them knows an errno: the kernel adapter has the one table that maps them.
"""

import shlex
from pathlib import Path


class VfsError(Exception):
    """Base of all errors raised on purpose."""


# --- what an operation on files can answer -------------------------------------------------


class OperationError(VfsError):
    """Base of the answers that a program on the mount may get."""


class NoEntry(OperationError):
    """There is no entry of that name, or no inode of that number."""


class Stale(NoEntry):
    """The inode was of a tree, or of a state of it, that is gone."""


class Exists(OperationError):
    """The name is taken."""


class NotADirectory(OperationError):
    """A directory was needed."""


class IsADirectory(OperationError):
    """Anything but a directory was needed."""


class NotEmpty(OperationError):
    """The directory still has entries."""


class NameTooLong(OperationError):
    """A name or link target passes its limit."""


class TooManyLinks(OperationError):
    """The inode has all the hard links that it may have."""


class InvalidArgument(OperationError):
    """The arguments make no sense for this operation."""


class CrossTree(OperationError):
    """A name cannot move, and a file cannot be linked, from one tree into another."""


class NotPermitted(OperationError):
    """The operation is not allowed on this kind of file."""


class ReadOnly(OperationError):
    """The file system is mounted read-only, or turned so after a failure."""


READ_ONLY = "the store is mounted read-only; mount it without that to change it"

FULL_DISK = "the disk that holds the store is full; make room there, or with vfs snapshot delete and vfs gc"


class NoSpace(OperationError):
    """The disk that holds the store is full."""

    def __init__(self, reason: str = FULL_DISK) -> None:
        super().__init__(reason)


class NoDescriptors(NoSpace):
    """No room of another kind: the process may not open one file more. Passes as soon as some are closed."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"cannot open {name}: too many open files; raise the daemon's limit (ulimit -n)")


class NoAttribute(OperationError):
    """There is no such extended attribute."""


class AttributeTooLarge(OperationError):
    """The value or the list of extended attributes passes its limit."""


class AttributeNameTooLong(OperationError):
    """The name of an extended attribute is empty or passes its limit."""


class FileTooLarge(OperationError):
    """The file would pass the largest size."""


class NotSupported(OperationError):
    """The operation is not offered here."""


class StoreFailed(OperationError):
    """The store below failed (a write or a sync); nothing more can be acknowledged."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the store failed and is read-only now: {reason}; unmount, check the disk, mount again"
        )


class DataDamaged(OperationError):
    """Bytes read back from the store are not the bytes that were written."""

    def __init__(self, place: str, offset: int, reason: str) -> None:
        self.place = place
        self.offset = offset
        self.reason = reason
        self.facts = f"damaged data in {place} at offset {offset}: {reason}"
        super().__init__(f"{self.facts}; run vfs fsck on the store")


class RangeLost(DataDamaged):
    """The bytes were lost before; a repair has noted that in the file's extents."""

    def __init__(self, ino: int, offset: int, length: int) -> None:
        self.place = f"inode {ino}"
        self.ino = ino
        self.offset = offset
        self.length = length
        self.reason = f"{length} bytes are lost"
        self.facts = f"{length} bytes at {offset} of inode {ino} are lost"
        OperationError.__init__(
            self,
            f"{self.facts}; the rest of the file can be read; vfs fsck names it, writing it anew mends it",
        )


class ChunkDamaged(DataDamaged):
    """The damage is in a chunk of the log."""

    def __init__(self, chunk: int, offset: int, reason: str) -> None:
        self.chunk = chunk
        super().__init__(f"chunk {chunk}", offset, reason)


class PackDamaged(DataDamaged):
    """The damage is in a pack, or in what the index says of it."""

    def __init__(self, pack: str, offset: int, reason: str) -> None:
        self.pack = pack
        super().__init__(f"pack {pack}", offset, reason)


# --- what opening, checking or mounting a store can answer ---------------------------------


class StoreError(VfsError):
    """Base of the errors of a store as a whole."""


class StoreNotFound(StoreError):
    """The store's directory does not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"no such store: {path}; create it with: vfs mkfs {path}")


class NotAStore(StoreError):
    """The directory exists but is not a store."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"not a store: {path} ({reason}); give a directory made by vfs mkfs")


class SuperblockDamaged(NotAStore):
    """All else of a store is there, but what makes the directory one is missing or wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        quoted = shlex.quote(str(path))
        self.args = (f"damaged store: {path} ({reason}); bring it back with: vfs fsck {quoted} --repair",)


class NewerFormat(StoreError):
    """The store was written by a newer version."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        self.path = path
        self.found = found
        self.known = known
        super().__init__(f"{path} has format {found}, this version knows up to {known}; install a newer vfs")


class StoreBusy(StoreError):
    """Another process owns the store."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        owner = f"process {pid}" if pid else "another process"
        super().__init__(f"{path} is in use by {owner}; unmount it first (vfs umount MOUNTPOINT)")


class SnapshotError(StoreError):
    """What was asked of snapshots or clones cannot be."""


class StoreNotEmpty(StoreError):
    """mkfs was given a directory that has something in it, or no directory."""

    def __init__(self, path: Path, reason: str = "is not empty") -> None:
        self.path = path
        super().__init__(f"{path} {reason}; give a new or an empty directory")


class StoreUnreadable(StoreError):
    """The operating system refused access to the store."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot use {path}: {reason}; check its owner, its mode and its disk")


class LogDamaged(StoreError):
    """The log is wrong at a place that was known to be synced."""

    def __init__(self, chunk: int, offset: int, reason: str) -> None:
        self.chunk = chunk
        self.offset = offset
        self.reason = reason
        self.facts = f"damaged log in chunk {chunk} at offset {offset}: {reason}"
        super().__init__(f"{self.facts}; run vfs fsck on the store")


class IndexDamaged(StoreError):
    """The index contradicts itself or its checksums."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.facts = f"damaged index: {reason}"
        super().__init__(f"{self.facts}; run vfs fsck on the store")


class RepairPending(StoreError):
    """A repair of the store was cut short in the middle of its last steps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"a repair of {path} was interrupted; end it with: vfs fsck --repair {path}")


class RepairFailed(StoreError):
    """A repair could not be made; the store is as it was."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} was not repaired: {reason}; nothing in it was changed")


class IndexUnwritten(StoreError):
    """A checkpoint could not be written; the log still has everything."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the index cannot be written: {reason}; nothing is lost, the log keeps it all; check the disk"
        )


class PackUnwritten(StoreError):
    """A pack could not be written; the log still has everything."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"a pack cannot be written: {reason}; nothing is lost, the log keeps it all; check the disk"
        )


class OptionError(StoreError):
    """A mount or creation option is unknown or has a bad value."""


class MountError(StoreError):
    """The mount could not be made, found or removed."""
