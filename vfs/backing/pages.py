"""The pages of a damaged index, each verified, without SQLite's opinion of the whole.

Promises that a page is handed out only when a checksum says that it is what was written: the page's own, or
that of SQLite's write-ahead log, of which committed pages come first. Any other page is None. Never writes,
and never needs the first page to be good.

Formats: https://www.sqlite.org/fileformat2.html (database, write-ahead log), cksumvfs.html (page checksums).
"""

import struct
from collections.abc import Iterator

import apsw

from vfs.backing.sqlite_files import CHECKSUM_BYTES, PAGE_BYTES, load_checksums
from vfs.backing.storage import Storage, StorageFile

USABLE_BYTES = PAGE_BYTES - CHECKSUM_BYTES
"""What a page holds of rows; its checksum comes behind."""

_LOG_HEADER = struct.Struct(">8I")
_FRAME_HEADER = struct.Struct(">6I")
_LOG_MAGIC = (0x377F0682, 0x377F0683)
_MAP_ENTRY = struct.Struct(">BI")
_MAP_ENTRIES = USABLE_BYTES // _MAP_ENTRY.size
_ZEROS = bytes(PAGE_BYTES)
_FREE = 2
_WORD = 0xFFFFFFFF


class PageFile:
    """The pages of a database by number, from 1."""

    def __init__(self, storage: Storage, name: str) -> None:
        load_checksums()
        self._checking = apsw.Connection(":memory:")  # cksumvfs brings a function that verifies a page
        self._file = storage.open(name)
        self._log: StorageFile | None = None
        self._in_log: dict[int, int] = {}
        self.count = self._file.size() // PAGE_BYTES
        log_name = f"{name}-wal"
        if storage.exists(log_name):
            self._log = storage.open(log_name)
            self._read_log(self._log)

    def close(self) -> None:
        """Give the files back."""
        self._checking.close()
        self._file.close()
        if self._log is not None:
            self._log.close()

    def page(self, number: int) -> bytes | None:
        """The page, None when it is not there or its checksum is wrong."""
        at = self._in_log.get(number)
        try:
            if at is not None and self._log is not None:
                return self._log.pread(PAGE_BYTES, at)
            if not 1 <= number <= self.count:
                return None
            data = self._file.pread(PAGE_BYTES, (number - 1) * PAGE_BYTES)
        except OSError:
            return None
        if len(data) != PAGE_BYTES or data == _ZEROS:  # whose checksum is right: it is zero
            return None
        return (
            data
            if self._checking.execute("SELECT verify_checksum(?)", (data,)).fetchall() == [(1,)]
            else None
        )

    def emptied(self) -> list[int]:
        """Pages in use that are all zeros: what SQLite and its checksums do not always notice."""
        used = [number for number, (kind, _) in self.parents().items() if kind not in (0, _FREE)]
        return [
            number
            for number in used
            if number not in self._in_log
            and self._file.pread(PAGE_BYTES, (number - 1) * PAGE_BYTES) == _ZEROS
        ]

    def parents(self) -> dict[int, tuple[int, int]]:
        """What the pointer map says: page -> (kind, parent). Kind 1 is a root, 2 free, 5 inside of a tree."""
        found: dict[int, tuple[int, int]] = {}
        first = self.page(1)
        if first is not None and not any(first[52:56]):
            return found  # made without automatic vacuum: there is no such map
        for number in range(2, self.count + 1, _MAP_ENTRIES + 1):
            page = self.page(number)
            if page is None:
                continue
            for index in range(min(_MAP_ENTRIES, self.count - number)):
                found[number + 1 + index] = _MAP_ENTRY.unpack_from(page, index * _MAP_ENTRY.size)
        return found

    def _read_log(self, log: StorageFile) -> None:
        """Find the newest committed place of each page; what follows the first bad sum is not committed."""
        head = log.pread(_LOG_HEADER.size, 0)
        if len(head) < _LOG_HEADER.size:
            return
        magic, _, page_bytes, _, *salt_and_sums = _LOG_HEADER.unpack(head)
        order = ">" if magic & 1 else "<"
        sums = _sums(head[:24], order, (0, 0))
        if magic not in _LOG_MAGIC or page_bytes != PAGE_BYTES or list(sums) != salt_and_sums[2:]:
            return
        pending: dict[int, int] = {}
        for at, frame in _frames(log):
            number, size, *found = _FRAME_HEADER.unpack_from(frame)
            sums = _sums(frame[_FRAME_HEADER.size :], order, _sums(frame[:8], order, sums))
            if found != [*salt_and_sums[:2], *sums]:
                return
            pending[number] = at
            if size:
                self._in_log.update(pending)
                pending.clear()
                self.count = size


def _frames(log: StorageFile) -> Iterator[tuple[int, bytes]]:
    """Each frame of a write-ahead log, with where its page begins."""
    at = _LOG_HEADER.size
    length = _FRAME_HEADER.size + PAGE_BYTES
    while len(frame := log.pread(length, at)) == length:
        yield at + _FRAME_HEADER.size, frame
        at += length


def _sums(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """Go on with the two running sums of a write-ahead log."""
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for left, right in zip(words[::2], words[1::2], strict=True):
        first = (first + left + second) & _WORD
        second = (second + right + first) & _WORD
    return first, second
