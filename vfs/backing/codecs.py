"""How the bytes of a block are stored: as they are, or as one zstd frame.

Promises that decoding never makes more bytes than were asked for, whatever the stored bytes say, and that all
of it may run in any thread. Never decides which bytes make up a block.
"""

import re
import threading
from enum import IntEnum
from typing import NamedTuple, Self

import zstandard

from vfs.backing.directory_file import Buffer
from vfs.backing.frames import BadBytes
from vfs.errors import OptionError
from vfs.limits import DECODED_BLOCK_BYTES, KIB

DEFAULT_LEVEL = 3
LOWEST_LEVEL, HIGHEST_LEVEL = -131_072, zstandard.MAX_COMPRESSION_LEVEL

SAVING = 32
"""Compressed bytes are kept when they save at least one part in so many."""

SAMPLE_BYTES = 4 * KIB
"""Of the begin and the middle of a blob: what it takes to know media from text, in about 10 µs."""


class Codec(IntEnum):
    """What stands in the `codec` field of a block."""

    NONE = 0
    ZSTD = 1


class Compression(NamedTuple):
    """How new blocks are to be stored; the level says nothing for `Codec.NONE`."""

    codec: Codec
    level: int = DEFAULT_LEVEL

    @classmethod
    def parse(cls, text: str) -> Self:
        """`none`, `zstd` or `zstd:LEVEL`; OptionError for anything else."""
        if text == "none":
            return cls(Codec.NONE)
        match = re.fullmatch(r"zstd(?::([+-]?[0-9]{1,6}))?", text, re.ASCII)
        if match is not None:
            level = DEFAULT_LEVEL if match[1] is None else int(match[1])
            if level and LOWEST_LEVEL <= level <= HIGHEST_LEVEL:
                return cls(Codec.ZSTD, level)
        raise OptionError(
            f"compression {text!r}: give none, zstd, or zstd:LEVEL with a level from {LOWEST_LEVEL} to"
            f" {HIGHEST_LEVEL} that is not 0"
        )

    def __str__(self) -> str:
        return "none" if self.codec is Codec.NONE else f"zstd:{self.level}"

    def compress(self, data: Buffer) -> bytes | None:
        """The data as a zstd frame; None when it is to be stored as it is."""
        if self.codec is Codec.NONE or not len(data):
            return None
        stored = _compressor(self.level).compress(data)
        return stored if len(stored) <= len(data) - len(data) // SAVING else None


def decompress(stored: Buffer, size: int) -> bytes:
    """The `size` bytes of a zstd frame; BadBytes when it holds anything else."""
    try:
        # The frame says its size itself; a larger one is refused before anything is allocated for it.
        if size > DECODED_BLOCK_BYTES:
            raise BadBytes(f"it cannot have {size} bytes")
        if zstandard.frame_content_size(stored) != size:
            raise BadBytes("its compressed data has another size than it should")
        data = _decompressor().decompress(stored, max_output_size=size)
    except zstandard.ZstdError as error:
        raise BadBytes(f"its compressed data cannot be decoded ({error})") from None
    if len(data) != size:
        raise BadBytes("its compressed data is too short")
    return data


def looks_compressible(data: Buffer) -> bool:
    """Whether compressing is worth a try, from a small sample. What is short always is."""
    length = len(data)
    if length <= 2 * SAMPLE_BYTES:
        return True
    view = memoryview(data)
    middle = length // 2
    sample = b"".join((view[:SAMPLE_BYTES], view[middle : middle + SAMPLE_BYTES]))
    return len(_compressor(1).compress(sample)) < len(sample) - len(sample) // SAVING


class _Contexts(threading.local):
    """Contexts of zstd may not be used by two threads at once."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressor: zstandard.ZstdDecompressor | None = None


_contexts = _Contexts()


def _compressor(level: int) -> zstandard.ZstdCompressor:
    found = _contexts.compressors.get(level)
    if found is None:
        found = zstandard.ZstdCompressor(level=level, write_content_size=True, write_checksum=False)
        _contexts.compressors[level] = found
    return found


def _decompressor() -> zstandard.ZstdDecompressor:
    if _contexts.decompressor is None:
        _contexts.decompressor = zstandard.ZstdDecompressor()
    return _contexts.decompressor
