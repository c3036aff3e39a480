"""`python -m bench.block_sizes`: what sizes of blocks and blobs, and levels, cost and give on this machine.

Promises figures of the package's own cutter, allocator and packs, on files of this machine and on made bytes
of a fixed seed: those by which docs/decisions/0003 chose. Times are those of the one thread that works, so
that other work on the machine disturbs little. Never touches a store of anybody.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from time import thread_time
from typing import NamedTuple

import zstandard
from blake3 import blake3
from rich.console import Console
from rich.table import Table

from bench.material import log_pieces
from vfs.backing.allocator import BlockAllocator
from vfs.backing.codecs import Codec, Compression
from vfs.backing.creation import CreationOptions
from vfs.backing.cutter import Cutter
from vfs.backing.pack_writer import PackWriter
from vfs.backing.packs import PackFile
from vfs.backing.places import PACKS_FOLDER
from vfs.backing.storage import DirectoryStorage
from vfs.limits import KIB, MIB

UUID = bytes(16)
BLOCK_SIZES = [64 * KIB << step for step in range(7)]
BLOB_SIZES = [16 * KIB << step for step in range(5)]
LEVELS = (-5, 1, 3, 5, 9)
CHECKPOINT_BYTES = 100 * 1000 * 1000
SPOT_BYTES = 4 * KIB
RANDOM_READS = 200
DICTIONARY_BYTES = 112 * KIB

RESTIC = (1 * MIB, 512 * KIB, 8 * MIB)
"""Average, least and most of restic's blobs; each is compressed by itself, a small file is one."""

SOURCES = ("/usr/include", "/usr/lib/python3", str(Path(sys.prefix) / "lib"))
TEXT = (".py", ".pyi", ".h", ".hpp", ".c", ".txt", ".md", ".rst", ".json", ".toml")


class Cost(NamedTuple):
    """Of one way to store a corpus."""

    stored_bytes: int
    write_seconds: float
    read_seconds: float
    random_seconds: float
    """Of one read of a few bytes: the whole block is read, verified and decoded."""


# --- what is stored --------------------------------------------------------------------------


def files_of(roots: Sequence[str], endings: tuple[str, ...], limit_bytes: int) -> list[bytes]:
    """Contents of regular files in order of their names, those that end so; no more than the limit."""
    found: list[bytes] = []
    for root in roots:
        for path in sorted(Path(root).rglob("*")):
            if not path.name.endswith(endings) or path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
            limit_bytes -= len(data)
            if limit_bytes < 0:
                return found
            found.append(data)
    return found


def corpora(limit_bytes: int) -> dict[str, list[bytes]]:
    """Files of each kind."""
    logs = [b"".join(islice(log_pieces(seed), limit_bytes // (8 * MIB) or 1)) for seed in range(8)]
    return {
        "source text": files_of(SOURCES, TEXT, limit_bytes),
        "logs": logs,
        "binaries": files_of(("/usr/bin",), ("",), limit_bytes),
    }


def checkpoint(chance: random.Random) -> bytes:
    """Bytes of which nothing can be saved but what is equal."""
    return chance.randbytes(CHECKPOINT_BYTES)


def with_spots(data: bytes, chance: random.Random) -> bytes:
    """One in a hundred bytes changed, in scattered pages."""
    changed = bytearray(data)
    for _ in range(len(data) // 100 // SPOT_BYTES):
        start = chance.randrange(len(data) // SPOT_BYTES) * SPOT_BYTES
        changed[start : start + SPOT_BYTES] = chance.randbytes(SPOT_BYTES)
    return bytes(changed)


def with_insertions(data: bytes, chance: random.Random, insertions: int = 20) -> bytes:
    """A few bytes inserted here and there, so that all that follows is shifted."""
    cuts = sorted(chance.randrange(len(data)) for _ in range(insertions))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return b"".join(piece + chance.randbytes(7) for piece in pieces)


# --- how it is stored --------------------------------------------------------------------------


def blobs_of(files: Iterable[bytes], cutter: Cutter) -> Iterator[bytes]:
    """New blobs of some files, each once, in order."""
    known: set[bytes] = set()
    for data in files:
        for blob in (*cutter.feed(data), *cutter.finish()):
            digest = blake3(blob).digest()
            if digest not in known:
                known.add(digest)
                yield bytes(blob)


def restic_bytes(files: Iterable[bytes]) -> int:
    """What restic would store of the data: every blob a zstd-3 frame of its own."""
    compressor = zstandard.ZstdCompressor(level=3)
    return sum(min(len(blob), len(compressor.compress(blob))) for blob in blobs_of(files, Cutter(*RESTIC)))


def cost(blobs: list[bytes], block_bytes: int, level: int) -> Cost:
    """Write a pack of blobs and read it, through the code of the package."""
    with tempfile.TemporaryDirectory(prefix="vfs-bench-") as folder:
        storage = DirectoryStorage(folder)
        storage.make_folder(PACKS_FOLDER)
        writer = PackWriter(storage, UUID, 1)
        began = thread_time()
        allocator = BlockAllocator(writer, count(1).__next__, block_bytes, Compression(Codec.ZSTD, level))
        for blob in blobs:
            allocator.append(blob)
        blocks = allocator.commit()
        write_seconds = thread_time() - began
        name = writer.finish([])
        writer.publish()
        pack = PackFile.open(storage, name, UUID)
        for block in blocks:
            pack.read_block(block)  # memory for it, and pages of the file
        began = thread_time()
        for block in blocks:
            pack.read_block(block)
        read_seconds = thread_time() - began
        chance = random.Random(0)
        began = thread_time()
        for _ in range(RANDOM_READS):
            pack.read_block(chance.choice(blocks))
        random_seconds = (thread_time() - began) / RANDOM_READS
        pack.close()
        storage.close()
        return Cost(pack.size, write_seconds, read_seconds, random_seconds)


def joined(blobs: Iterable[bytes], block_bytes: int) -> list[bytes]:
    """Blobs in blocks of about that size."""
    blocks, block = [], b""
    for blob in blobs:
        block += blob
        if len(block) >= block_bytes:
            blocks.append(block)
            block = b""
    return [*blocks, block] if block else blocks


def with_long_range(blocks: list[bytes]) -> int:
    """Stored bytes at level 3 with long-range matching."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, enable_ldm=True, window_log=24)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    return sum(len(compressor.compress(block)) for block in blocks)


def with_dictionary(blocks: list[bytes]) -> int:
    """Stored bytes at level 3 with a dictionary that was trained on one block in eight, and itself."""
    samples: list[bytes | bytearray | memoryview] = []
    for block in blocks[::8]:
        samples += (block[at : at + 8 * KIB] for at in range(0, len(block), 8 * KIB))
    dictionary = zstandard.train_dictionary(DICTIONARY_BYTES, samples[:4000])
    compressor = zstandard.ZstdCompressor(level=3, dict_data=dictionary)
    return len(dictionary.as_bytes()) + sum(len(compressor.compress(block)) for block in blocks)


def plainly(blocks: list[bytes]) -> int:
    """Stored bytes at level 3 with nothing else."""
    compressor = zstandard.ZstdCompressor(level=3)
    return sum(len(compressor.compress(block)) for block in blocks)


def new_share(old: bytes, new: bytes, average_bytes: int) -> float:
    """Of a file that is stored after one that is nearly the same: how much of it is new."""
    cutter = Cutter.of(CreationOptions(blob_bytes=average_bytes))
    before = sum(map(len, blobs_of([old], cutter)))
    return (sum(map(len, blobs_of([old, new], cutter))) - before) / len(new)


# --- tables ------------------------------------------------------------------------------------


def named(size_bytes: int) -> str:
    """A size as people say it."""
    return f"{size_bytes // MIB} MiB" if size_bytes >= MIB else f"{size_bytes // KIB} KiB"


def cost_row(raw: int, found: Cost) -> tuple[str, ...]:
    """Ratio and speeds as text."""
    return (
        f"{raw / found.stored_bytes:.2f}",
        f"{raw / found.write_seconds / 1e6:.0f}",
        f"{raw / found.read_seconds / 1e6:.0f}",
        f"{found.random_seconds * 1e6:.0f}",
    )


def show(output: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print one table as soon as its figures are there."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    output.print(table)


def compare_blocks(output: Console, name: str, files: list[bytes]) -> None:
    """Tables of one corpus."""
    raw = sum(map(len, files))
    blobs = list(blobs_of(files, Cutter.of(CreationOptions())))
    unique = sum(map(len, blobs))
    output.print(
        f"\n{name}: {len(files)} files, {raw / 1e6:.0f} MB, without equal blobs {unique / 1e6:.0f} MB"
    )
    output.print(f"restic's way: {raw / restic_bytes(files):.2f}")
    columns = ("", "ratio", "write MB/s", "read MB/s", "random read µs")
    sizes = ((named(size), *cost_row(raw, cost(blobs, size, 3))) for size in BLOCK_SIZES)
    show(output, f"{name}: block size, level 3", columns, sizes)
    chosen = CreationOptions().block_bytes
    levels = ((str(level), *cost_row(raw, cost(blobs, chosen, level))) for level in LEVELS)
    show(output, f"{name}: level, blocks of {named(chosen)}", columns, levels)
    more = []
    for size in (64 * KIB, chosen, 4 * MIB):
        blocks = joined(blobs, size)
        ratios = (raw / way(blocks) for way in (plainly, with_long_range, with_dictionary))
        more.append((named(size), *(f"{ratio:.2f}" for ratio in ratios)))
    show(output, f"{name}: ratio with more of zstd", ("", "plain", "long range", "dictionary"), more)


def compare_blobs(output: Console, files: list[bytes]) -> None:
    """The table of blob sizes."""
    chance = random.Random(1)
    old = checkpoint(chance)
    spots, insertions = with_spots(old, chance), with_insertions(old, chance)
    rows = []
    for average in (*BLOB_SIZES, RESTIC[0]):
        began = thread_time()
        cutter = Cutter.of(CreationOptions(blob_bytes=average))
        number = sum(1 for _ in blobs_of([old], cutter))
        rate = len(old) / (thread_time() - began) / 1e6
        blobs = list(blobs_of(files, cutter))
        text = sum(map(len, files)) / cost(blobs, CreationOptions().block_bytes, 3).stored_bytes
        shares = (new_share(old, new, average) for new in (spots, insertions))
        percent = (f"{share:.1%}" for share in shares)
        rows.append((named(average), named(len(old) // number), *percent, f"{text:.2f}", f"{rate:.0f}"))
    columns = ("", "found", "new: 1 % in spots", "new: 20 insertions", "ratio of source", "cut, hash MB/s")
    show(output, "average size of blobs", columns, rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.block_sizes", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=64, help="of each kind of data, at the most")
    limit_bytes = parser.parse_args().megabytes * MIB
    output = Console()
    kinds = corpora(limit_bytes)
    for name, files in kinds.items():
        compare_blocks(output, name, files)
    compare_blobs(output, kinds["source text"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
