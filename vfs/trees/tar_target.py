"""A tar archive as the place a tree goes to: a file, compressed as its name says, or a stream.

Promises that a file of the host appears under its name only when the archive is whole. A file that cannot
be read ends the export, since an archive cannot take back what it has begun. Files with holes are stored as
GNU's PAX sparse format 1.0 has it.
"""

import gzip
import lzma
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import zstandard

from vfs.errors import NoSpace, StoreError
from vfs.limits import MIB
from vfs.trees.folder_target import FATAL
from vfs.trees.items import Buffer, FileEnd, Hole, Item, Node, shown
from vfs.trees.report import Report
from vfs.trees.tar_header import end_mark, headers, padding, sparse_map

ENDINGS = {
    ".tar": "",
    ".tar.gz": "gz",
    ".tgz": "gz",
    ".tar.xz": "xz",
    ".txz": "xz",
    ".tar.zst": "zst",
    ".tzst": "zst",
}
OTHER_ENDINGS = (
    ".zip",
    ".7z",
    ".rar",
    ".tbz",
    ".tbz2",
    ".tar.bz2",
    ".tar.lz4",
    ".tar.lz",
    ".tar.lzma",
    ".tar.z",
)
"""Of archives that are not written here. A folder of such a name is hardly what anybody means."""

ZSTD_LEVEL, ZSTD_THREADS = 3, 2

_ZEROS = bytes(MIB)


def compression_of(path: Path) -> str | None:
    """How an archive of that name is compressed ("" not at all); None when it is no name of an archive."""
    name = path.name.lower()
    return next((kind for ending, kind in ENDINGS.items() if name.endswith(ending)), None)


class TarTarget:
    """One export into an archive."""

    def __init__(
        self,
        raw: IO[bytes],
        report: Report,
        *,
        compression: str = "",
        path: Path | None = None,
        owned: bool = False,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._raw = raw
        self._report = report
        self.stop = stop  # ends what waits for a reader; for any thread
        self._owned = owned  # `raw` is ours to close
        self._path = path  # what `raw` is renamed to in the end
        self._out = _encoder(raw, compression)
        self._written = 0
        self._node: Node | None = None
        self._at = 0  # in the file
        self._stored = 0  # of the file

    @classmethod
    def create(cls, path: Path, report: Report) -> "TarTarget":
        """An archive under that name, once it is whole."""
        try:
            raw = open(_temporary(path), "wb", buffering=MIB)  # noqa: SIM115 - `close` closes it
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        return cls(raw, report, compression=compression_of(path) or "", path=path, owned=True)

    # --- the target -----------------------------------------------------------------------------

    def take(self, item: Item) -> None:
        """The next item."""
        if isinstance(item, bytes | memoryview):
            self._put_part(item)
        elif isinstance(item, Hole):
            self._hole(item.length)
        elif isinstance(item, FileEnd):
            self._end_file(item)
        elif isinstance(item, Node):
            self._begin(item)

    def finish(self) -> None:
        """All is there."""
        self._put(end_mark(self._written))
        try:
            if self._out is not self._raw:
                self._out.close()
            self._raw.flush()
            if self._path is not None:
                self._raw.close()
                os.rename(_temporary(self._path), self._path)
                self._path = None
        except OSError as error:
            raise _failure(error) from error

    def close(self) -> None:
        """Let go; an archive that is not whole goes."""
        if self._owned:
            with suppress(OSError, ValueError):
                self._raw.close()
        if self._path is not None:
            os.unlink(_temporary(self._path))
            self._path = None

    # --- members --------------------------------------------------------------------------------

    def _begin(self, node: Node) -> None:
        figures = self._report.figures
        if not node.has_content:
            self._put(headers(node, 0, sparse=False))
            if node.link_to is not None:
                figures.links += 1
            elif stat.S_ISDIR(node.mode):
                figures.directories += 1
            elif node.target is not None:
                figures.symlinks += 1
            else:
                figures.specials += 1
            return
        self._node, self._at = node, 0
        spans = ((0, node.size),) if node.spans is None else node.spans
        data = sum(length for _, length in spans)
        map_ = sparse_map(spans, node.size) if data < node.size else b""
        self._stored = len(map_) + data
        self._put(headers(node, self._stored, sparse=bool(map_)) + map_)

    def _put_part(self, data: Buffer) -> None:
        self._at += len(data)
        self._put(data)

    def _hole(self, length: int) -> None:
        """Where the member says data, zeros are written: a file that became shorter, or got a hole."""
        assert self._node is not None, "its node came before"
        start, stop = self._at, self._at + length
        self._at = stop
        for offset, size in self._node.spans or ():
            missing = min(stop, offset + size) - max(start, offset)
            while missing > 0:
                self._put(memoryview(_ZEROS)[:missing])
                missing -= MIB

    def _end_file(self, end: FileEnd) -> None:
        assert self._node is not None, "its node came before"
        if end.problem:
            raise StoreError(f"{shown(self._node.path)}: {end.problem}; export to a folder to get all else")
        self._put(padding(self._stored))
        self._node = None
        self._report.figures.files += 1

    def _put(self, data: Buffer) -> None:
        try:
            self._out.write(data)
        except OSError as error:
            raise _failure(error) from error
        self._written += len(data)


def _encoder(raw: IO[bytes], compression: str) -> IO[bytes]:
    if compression == "gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0))
    if compression == "xz":
        return cast(IO[bytes], lzma.LZMAFile(raw, "wb"))
    if compression == "zst":
        compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, threads=ZSTD_THREADS)
        return cast(IO[bytes], compressor.stream_writer(raw, closefd=False))
    return raw


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.vfs-export")


def _failure(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return StoreError("nobody reads the archive any more")
    reason = error.strerror or str(error)
    if error.errno in FATAL:
        return NoSpace(f"cannot write the archive: {reason}")
    return StoreError(f"cannot write the archive: {reason}")
