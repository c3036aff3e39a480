"""A tar archive as bytes, read forward only, whatever it is compressed with.

Promises to find the compression by content, to hold at most what one read asks for, and to say in one line
what is wrong with a stream. Never seeks, so a pipe will do.
"""

import bz2
import gzip
import io
import lzma
import os
import zlib
from typing import IO, Any, cast

import zstandard

from vfs.limits import MIB
from vfs.trees.items import SourceError

BUFFER_BYTES = MIB
HEADER_BYTES = 16 * MIB
"""No member has more of headers and sparse maps; what claims to is nonsense, or an attack on our memory."""

BLOCK = 512

MAGIC = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2"}
DECODING_ERRORS = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile)


class BadArchive(SourceError):
    """The archive is damaged, cut short, or none at all."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name}: {reason}")


def open_decoded(raw: IO[bytes]) -> IO[bytes]:
    """The archive's own bytes, decompressed as its first bytes say."""
    buffered = io.BufferedReader(cast(Any, raw), BUFFER_BYTES)
    first = buffered.peek(8)
    while 0 < len(first) < 6 and len(more := buffered.peek(8)) > len(first):
        first = more
    kind = next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), "")
    if kind == "gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=buffered))
    if kind == "xz":
        return cast(IO[bytes], lzma.LZMAFile(buffered))
    if kind == "bz2":
        return cast(IO[bytes], bz2.BZ2File(buffered))
    if kind == "zst":
        decoder = zstandard.ZstdDecompressor()
        return cast(IO[bytes], decoder.stream_reader(buffered, read_across_frames=True))
    return buffered


class ForwardStream:
    """What `tarfile` needs of a file, for a stream: it may ask for a later position, never an earlier one."""

    def __init__(self, decoded: IO[bytes], name: str) -> None:
        self._decoded = decoded
        self._name = name
        self._at = 0
        self._header_bytes = 0  # that may still be read with `read`
        self.begin_header()
        self.last_block = b""
        """The last header-sized piece that was read: the end mark of an archive is one of zeros."""

    def tell(self) -> int:
        """How many bytes were read."""
        return self._at

    def begin_header(self) -> None:
        """The headers of one more member may be read."""
        self._header_bytes = HEADER_BYTES

    def read(self, length: int) -> bytes:
        """So many bytes of a header, fewer only at the end of the stream."""
        self._header_bytes -= length
        if self._header_bytes < 0:
            raise BadArchive(self._name, "a header claims to be absurdly long")
        pieces = []
        missing = length
        while missing > 0:
            piece = self.read_some(missing)
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if length == BLOCK:
            self.last_block = data
        return data

    def read_some(self, most: int) -> bytes:
        """At least one byte, empty at the end of the stream."""
        try:
            piece = self._decoded.read(min(most, BUFFER_BYTES))
        except DECODING_ERRORS as error:
            raise BadArchive(
                self._name, f"damaged or cut short ({str(error) or type(error).__name__})"
            ) from error
        except OSError as error:
            raise BadArchive(self._name, f"cannot be read: {error.strerror or error}") from error
        self._at += len(piece)
        return piece

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Read and forget up to the position, or to the end of the stream."""
        if whence != os.SEEK_SET or position < self._at:
            raise BadArchive(self._name, "a header points backwards")
        while self._at < position and self.read_some(position - self._at):
            pass
        return self._at
