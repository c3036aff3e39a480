"""Which store is this, when its superblock cannot say: what chunks and packs say of their store.

Promises that a directory in which nothing says so is refused, and that a superblock of a later version is
never replaced.
"""

from collections import Counter
from contextlib import suppress

from vfs.backing.chunks import chunk_name, chunk_numbers
from vfs.backing.creation import CreationOptions
from vfs.backing.frames import CHUNK_HEADER_BYTES, BadBytes, chunk_owner
from vfs.backing.pack_format import HEADER_BYTES, pack_owner
from vfs.backing.places import PACKS_FOLDER
from vfs.backing.storage import Storage
from vfs.backing.superblock import FORMAT, Superblock
from vfs.clock import now_ns
from vfs.errors import NotAStore, OptionError, StoreUnreadable
from vfs.repair.plan import Plan

SUPERBLOCK = "superblock"


def find_superblock(storage: Storage, plan: Plan) -> tuple[Superblock, bool, str | None]:
    """The superblock, whether it must be written, and what is wrong with the one there is.

    NotAStore when nothing tells of a store, NewerFormat when it is not for us to touch.
    """
    try:
        block = Superblock.read(storage)
    except (NotAStore, StoreUnreadable) as error:
        uuid = _owner(storage)
        if uuid is None:
            raise
        options = CreationOptions().to_fields()
        plan.add(SUPERBLOCK, f"{error.reason}: it is made anew for store {uuid.hex()}, with default options")
        return Superblock(uuid, now_ns(), options), True, error.reason
    try:
        CreationOptions.from_fields(block.options)
    except OptionError as error:
        plan.add(SUPERBLOCK, f"{error}: it gets default options")
        return Superblock(block.uuid, block.created_ns, CreationOptions().to_fields()), True, str(error)
    if block.format < FORMAT:
        plan.add(SUPERBLOCK, f"the store has format {block.format}: it becomes one of format {FORMAT}")
        return block, True, None
    return block, False, None


def _owner(storage: Storage) -> bytes | None:
    """The uuid that most headers of chunks and packs name."""
    votes: Counter[bytes] = Counter()
    with suppress(OSError):
        for number in chunk_numbers(storage):
            with suppress(OSError, BadBytes):
                votes[chunk_owner(_head(storage, chunk_name(number), CHUNK_HEADER_BYTES))] += 1
    with suppress(OSError):
        for name in storage.list(PACKS_FOLDER):
            with suppress(OSError, BadBytes):
                votes[pack_owner(_head(storage, f"{PACKS_FOLDER}/{name}", HEADER_BYTES))] += 1
    return votes.most_common(1)[0][0] if votes else None


def _head(storage: Storage, name: str, length: int) -> bytes:
    file = storage.open(name)
    try:
        return file.pread(length, 0)
    finally:
        file.close()
