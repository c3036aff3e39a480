"""Stores with packs, for tests that damage them, give their space back or make their rows anew.

Packs are made without threads and blocks are small, so that little data makes several of each. Never asserts
anything but that a store is clean.
"""

import random
from pathlib import Path

import vfs
from vfs import FileSystem
from vfs.backing.creation import CreationOptions
from vfs.backing.packs import PackFile
from vfs.backing.places import BlockEntry
from vfs.backing.storage import DirectoryStorage
from vfs.backing.superblock import Superblock

KIB = 1024
WORDS = [b"%d bottles " % number for number in range(500)]


def text(seed: int, size: int) -> bytes:
    """Compresses well, and no two are alike."""
    return b"".join(WORDS[(seed * 7919 + n * n * (seed + 1)) % 500] for n in range(size // 8))[:size]


def noise(seed: int, size: int) -> bytes:
    """Does not compress."""
    return random.Random(seed).randbytes(size)


def packs(store: Path) -> list[Path]:
    """Pack files, the largest first."""
    return sorted((store / "packs").iterdir(), key=lambda path: -path.stat().st_size)


def flip(path: Path, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 4,)))


def opened_pack(store: Path, path: Path) -> PackFile:
    storage = DirectoryStorage(store)
    try:
        return PackFile.open(storage, path.name, Superblock.read(storage).uuid)
    finally:
        storage.close()


def block(store: Path, path: Path, codec: int, number: int = 0) -> BlockEntry:
    """One block of a pack."""
    pack = opened_pack(store, path)
    blocks = [each for each in pack.blocks() if each.codec == codec]
    pack.close()
    return blocks[number]


def make(path: Path) -> Path:
    vfs.mkfs(path, CreationOptions(block_bytes=16 * KIB, blob_bytes=4 * KIB))
    return path


def opened(store: Path) -> FileSystem:
    """The store, with packing and checkpoints only where a test takes them."""
    fs = vfs.open(store, pack_workers=0)
    fs.autopilot = False
    return fs


def write_pack(fs: FileSystem, contents: dict[str, bytes]) -> None:
    """Files in a pack of their own."""
    for path, content in contents.items():
        fs.write_bytes(path, content)
    fs.flush()


def check(store: Path) -> None:
    report = vfs.check(store, data=True)
    assert report.clean, report.problems
    assert report.notes == []
