"""Contents that nothing names any more, as files in /lost+found that are called by their hash.

Promises that such a file holds exactly the bytes of that hash: each was read and compared. Never brings back
what the old index knew to be dead.
"""

from collections.abc import Callable

from blake3 import blake3

from vfs.backing.mending import FILE, Mending
from vfs.backing.packs import PackFile
from vfs.backing.places import BlobEntry, BlockEntry
from vfs.backing.storage import Storage
from vfs.errors import PackDamaged
from vfs.inode.extent_map import ExtentMap
from vfs.inode.extents import BlobRange
from vfs.limits import ROOT_INO
from vfs.repair.found import LostAndFound, new_row
from vfs.repair.plan import Plan

FILE_MODE = 0o100600


def name_contents(
    storage: Storage,
    uuid: bytes,
    mending: Mending,
    found: LostAndFound,
    plan: Plan,
    was_dead: Callable[[int], bool],
) -> int:
    """Give every blob without a reference a file; returns how many. References are counted afterwards."""
    root = mending.inode_row(ROOT_INO)
    assert root is not None, "the root is there"
    files = 0
    for name in mending.pack_names():
        try:
            pack = PackFile.open(storage, name, uuid)
        except PackDamaged:
            continue  # without its tables nobody knows a hash
        waiting: dict[int, list[BlobEntry]] = {}
        for blob in pack.blobs():
            if mending.is_unreferenced(blob.id, blob.block) and not was_dead(blob.id):
                waiting.setdefault(blob.block, []).append(blob)
        for block in pack.blocks():
            for blob in _verified(pack, block, waiting.get(block.id, [])):
                ino = found.take_ino()
                mending.put_inodes(
                    iter([new_row(ino, FILE_MODE, root[2], root[3], 0, blob.length, blob.length)])
                )
                segment = ExtentMap()
                segment.replace(0, [BlobRange(blob.length, blob.id, 0)])
                mending.put_segments([(ino, 0, segment.allocated, segment.encode(), None)])
                found.take_in(ino, FILE, blob.hash.hex().encode())
                files += 1
        pack.close()
    if files:
        text = f"{files} contents that no file names come back under {found.path}, called by their hash"
        plan.add("names", text, files)
    return files


def _verified(pack: PackFile, block: BlockEntry, blobs: list[BlobEntry]) -> list[BlobEntry]:
    """Those of the blobs that are what their hash says."""
    if not blobs:
        return []
    try:
        data = memoryview(pack.read_block(block))
    except PackDamaged:
        return []
    return [
        blob for blob in blobs if blake3(data[blob.offset : blob.offset + blob.length]).digest() == blob.hash
    ]
