"""Makes hostile stores out of a good one: rows, records, chunks, packs and superblocks with right checksums.

A craft is a function that changes a copy of the good store; nothing here goes through the code that refuses.
Never touches anything but that copy, and what lies beside it on purpose (`Workshop.outside`).
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import apsw.sqlite_extra
import zstandard
from blake3 import blake3
from msgspec.msgpack import encode as msgpack
from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

import vfs
from tests.packed_stores import KIB, make, noise, opened, text
from vfs.backing.frames import CHUNK_HEADER_BYTES, encode_chunk_header, pack_fields, parse_frame, seal_frame
from vfs.backing.pack_format import (
    BLOB,
    BLOCK,
    HEADER,
    MAGIC,
    TRAILER,
    TRAILER_MAGIC,
    pack_name,
    seal,
    tables_digest,
)

NOW = 1_700_000_000 * 10**9
FILE, FOLDER, LINK = 0o100644, 0o040755, 0o120777
CONTENTS = {
    "/a/text": text(1, 200 * KIB),
    "/a/noise": noise(2, 100 * KIB),
    "/a/b/small": b"small",
    "/a/raw": noise(3, 60 * KIB),
}


def good_store(path: Path) -> None:
    """A closed store with some of everything: packed data of both codecs, raw data, links, attributes."""
    make(path)
    with opened(path) as fs:
        fs.make_directory("/a/b/c", parents=True)
        for name in ("/a/text", "/a/noise", "/a/b/small"):
            fs.write_bytes(name, CONTENTS[name])
        fs.flush()
        fs.write_bytes("/a/raw", CONTENTS["/a/raw"])
        fs.symlink(fs.resolve("/a").ino, b"soft", b"b/small")
        fs.link(fs.resolve("/a/text").ino, fs.resolve("/a/b").ino, b"hard")
        fs.set_xattr(fs.resolve("/a/text").ino, b"user.note", b"value")


def layered_store(good: Path, path: Path) -> None:
    """The same with two snapshots and two clones, one in the other, and a file that was changed in each."""
    shutil.copytree(good, path)
    with opened(path) as fs:
        fs.create_snapshot("one", "a comment")
        fs.write_bytes("/a/b/small", b"changed")
        fs.remove("/a/noise")
        fs.clone("one", 1, b"clone")
        fs.write_bytes("/clone/a/b/small", b"of the clone")
        fs.clone("one:a/b", fs.resolve("/clone").ino, b"inner")
        fs.create_snapshot("two")
        fs.write_bytes("/last", b"last")


class Workshop:
    """One copy of the good store, at `store`, with a folder of files beside it that must stay as they are."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.outside = folder / "outside"
        shutil.copytree(template, self.store)
        (self.outside / "folder").mkdir(parents=True)
        for name in ("victim", "folder/other"):
            (self.outside / name).write_bytes(b"nobody may touch this\n" * 300)
            os.utime(self.outside / name, ns=(10**9, 2 * 10**9))  # so that reading would show

    # --- superblock -----------------------------------------------------------------------------

    @property
    def superblock(self) -> dict[str, Any]:
        """Its fields."""
        fields: dict[str, Any] = json.loads((self.store / "superblock.json").read_bytes())
        return fields

    @property
    def uuid(self) -> bytes:
        """The store's."""
        return bytes.fromhex(self.superblock["uuid"])

    def put_superblock(self, **changes: Any) -> None:
        """Change fields of the superblock, under a right checksum."""
        fields = self.superblock | changes
        fields.pop("checksum")
        digest = xxh3_64_hexdigest(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii"))
        (self.store / "superblock.json").write_text(json.dumps({**fields, "checksum": digest}))

    # --- index ----------------------------------------------------------------------------------

    def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Do something to the index, with right page checksums."""
        if "cksmvfs" not in apsw.vfs_names():
            loading = apsw.Connection(":memory:")
            apsw.sqlite_extra.load(loading, "cksumvfs")
            loading.close()
        connection = apsw.Connection(
            str(self.store / "index.db"), flags=apsw.SQLITE_OPEN_READWRITE, vfs="cksmvfs"
        )
        try:
            rows = connection.execute(statement, arguments).fetchall()
            changing = statement.startswith(("UPDATE", "DELETE", "INSERT"))
            assert connection.total_changes() or not changing, f"this changed nothing: {statement}"
            return rows
        finally:
            connection.close()

    def schema(self, change: str, *arguments: Any) -> None:
        """Change what stands in sqlite_schema itself."""
        connection = apsw.Connection(str(self.store / "index.db"), vfs="cksmvfs")
        try:
            connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
            connection.pragma("writable_schema", "ON")
            connection.execute(change, arguments)
        finally:
            connection.close()

    def ino(self, path: str) -> int:
        """The number of an inode."""
        ino = 1
        for name in path.strip("/").split("/"):
            rows = self.sql("SELECT ino FROM entry WHERE parent=? AND name=?", ino, name.encode())
            ino = rows[0][0]
        return ino

    # --- log ------------------------------------------------------------------------------------

    def last_chunk(self) -> tuple[int, Path]:
        """Number and path of the chunk that a writer would go on with."""
        path = max((self.store / "log").iterdir())
        return int(path.name.removeprefix("chunk-")), path

    def last_lsn(self) -> int:
        """LSN of the last frame."""
        _, path = self.last_chunk()
        view = memoryview(path.read_bytes())
        at = CHUNK_HEADER_BYTES
        lsn = int.from_bytes(view[16:24], "little") - 1
        while at < len(view):
            frame = parse_frame(view, at)
            at, lsn = frame.end, frame.lsn
        return lsn

    def log(self, *commands: Any, content: bytes = b"", **changes: int) -> None:
        """Append records as frames with right checksums; `changes` are fields of the first frame's header."""
        number, path = self.last_chunk()
        lsn = self.last_lsn()
        with open(path, "r+b") as file:
            for command in commands:
                lsn += 1
                encoded = command if isinstance(command, bytes) else msgpack(command)
                at = file.seek(0, os.SEEK_END)
                fields = {"command": len(encoded), "data": len(content), "lsn": lsn, "synced": 0} | changes
                head = pack_fields(
                    b"vFrm", fields["command"], fields["data"], 0, fields["lsn"], fields["synced"]
                )
                file.write(
                    b"".join(
                        bytes(part) for part in seal_frame(self.uuid, number, at, head, encoded, content)
                    )
                )

    def chunk(self, number: int, first_lsn: int, synced: int = 0, rest: bytes = b"") -> Path:
        """One more chunk file with a right header."""
        path = self.store / "log" / f"chunk-{number:08d}"
        path.write_bytes(encode_chunk_header(self.uuid, number, first_lsn, synced) + rest)
        return path

    def create(
        self, parent: int, name: bytes, ino: int, mode: int = FILE, target: bytes | None = None
    ) -> list[Any]:
        """A Create record that would be right, if what it is given is."""
        cookie = self.sql("SELECT cookie FROM inode WHERE ino=?", parent)[0][0] if parent < 10**6 else 3
        folder = mode >> 12 == 4
        return [1, parent, name, cookie, ino, mode, 0, 0, 0, NOW, 3, 2 if folder else 1, target]

    # --- packs ----------------------------------------------------------------------------------

    def put_pack(
        self,
        blocks: list[tuple[int, bytes, int, int]],
        blobs: list[tuple[bytes, int, int, int, int]],
        *,
        number: int = 900,
        name: str | None = None,
        counts: tuple[int, int] | None = None,
        offsets: list[int] | None = None,
    ) -> str:
        """A pack with right checksums: blocks (number, stored bytes, size, codec), blobs (hash, number,
        position of the block, offset, length). It gets its row too. Returns its name."""
        header = seal(HEADER.pack(MAGIC, 1, 0, self.uuid, number))
        at, table, body = len(header), b"", b""
        for position, (block, stored, size, codec) in enumerate(blocks):
            place = at if offsets is None else offsets[position]
            table += BLOCK.pack(block, place, len(stored), size, codec, 0, xxh3_64_intdigest(stored, block))
            body += stored
            at += len(stored)
        index = b"".join(BLOB.pack(*blob, 0) for blob in blobs)
        found = counts or (len(blocks), len(blobs))
        digest = tables_digest(header, table, index)
        trailer = seal(TRAILER.pack(TRAILER_MAGIC, *found, at, at + found[0] * BLOCK.size, digest))
        name = name or pack_name(header, table, index, trailer)
        path = self.store / "packs" / name
        path.write_bytes(header + body + table + index + trailer)
        self.sql("INSERT INTO pack VALUES(?, 1, ?, ?)", number, name, path.stat().st_size)
        return name

    def block_row(self, number: int, pack: int, offset: int, stored: bytes, size: int, codec: int) -> None:
        """The row of a block with the checksum that its bytes have."""
        checksum = xxh3_64_intdigest(stored, number)
        signed = checksum - 2**64 if checksum >> 63 else checksum
        row = (number, pack, offset, len(stored), size, codec, signed)
        self.sql("INSERT OR REPLACE INTO block VALUES(?, ?, ?, ?, ?, ?, ?)", *row)

    def file_of_blob(self, blob: int, length: int, block: int, offset: int = 0) -> None:
        """Make /a/b/small a file that consists of this blob of this block."""
        ino = self.ino("/a/b/small")
        self.sql("INSERT OR REPLACE INTO blob VALUES(?, 1, ?, ?, ?, 1)", blob, block, offset, length)
        self.put_map(ino, [[3, min(length, 16 << 20), blob, 0]], size=min(length, 16 << 20))

    def put_map(self, ino: int, extents: Any, *, size: int | None = None, segment: int = 0) -> None:
        """Give a file other extents, encoded unless they are bytes."""
        encoded = extents if isinstance(extents, bytes | str | int) else msgpack(extents)
        if size is not None:
            self.sql("UPDATE inode SET size=?, allocated=? WHERE ino=?", size, size, ino)
        values = (ino, segment, size or 0, encoded)
        self.sql("INSERT OR REPLACE INTO extent VALUES(?, ?, 1, ?, ?, NULL)", *values)


def bomb(size: int) -> bytes:
    """A zstd frame that is small and decodes to `size` zeros, as it says itself."""
    return zstandard.ZstdCompressor(level=19).compress(bytes(size))


def lying_frame(claimed: int, held: int) -> bytes:
    """A zstd frame whose header says `claimed` bytes and whose data has `held`."""
    frame = bytearray(zstandard.ZstdCompressor(level=1).compress(bytes(held)))
    # A single segment with 8 bytes of content size: descriptor 0xE0.
    content = frame[zstandard.frame_header_size(bytes(frame)) :]
    return bytes(frame[:4] + b"\xe0" + claimed.to_bytes(8, "little") + content)


def hash_of(data: bytes) -> bytes:
    """A blob's name."""
    return blake3(data).digest()


Craft = Callable[[Workshop], None]


class Hostile(NamedTuple):
    """One hostile store: how it is made, and words of which one stands in what fsck says of it.

    Without words fsck calls it clean. `opens`: None where either is right.
    """

    name: str
    craft: Craft
    words: str = ""
    opens: bool | None = None
    layered: bool = False
    """Of a store with snapshots and clones."""


ALL: list[Hostile] = []


def hostile(words: str = "", *, opens: bool | None = None, layered: bool = False) -> Callable[[Craft], Craft]:
    """Make a function one of the hostile stores, under its own name."""

    def register(craft: Craft) -> Craft:
        ALL.append(Hostile(craft.__name__, craft, words, opens, layered))
        return craft

    return register


def fresh(fs: vfs.FileSystem) -> None:
    """Small use of a store that lets itself be written."""
    inode = fs.write_bytes("/fresh", b"written after all")
    fs.write(inode.ino, 100_000, b"x" * 5000)
    fs.make_directory("/fresh folder")
    fs.move("/fresh", "/fresh folder/moved")
