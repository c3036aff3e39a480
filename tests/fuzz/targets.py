"""What is fuzzed: each target takes any bytes, and fails unless what it meets is right or a typed error.

    superblock   the file as it is, and its fields under a right checksum
    frames       a chunk as it is; a chunk whose frames are sealed with right checksums; the scan of a log
    records      a command of the log, decoded, vetted and applied to the tables of a small store
    clones       the same over a store with a snapshot and a clone; what came of it goes into the index
    trees        rows of branches, trees and snapshots
    maps         the extents of a segment
    packs        a pack as it is; a pack whose parts are sealed with right checksums
    blocks       stored bytes of a block, and the size that a row says they have

The first byte chooses between the ways where there are several. Checksums would stop everything else, so the
parts are changed first and sealed afterwards. Never needs atheris: the corpus is replayed without it.
"""

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from blake3 import blake3
from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from tests.simulated.disk import SimulatedStorage
from vfs.backing.chunks import LOG_FOLDER, chunk_name
from vfs.backing.codecs import decompress
from vfs.backing.creation import CreationOptions
from vfs.backing.frames import (
    CHUNK_HEADER_BYTES,
    BadBytes,
    decode_chunk_header,
    encode_chunk_header,
    find_frames,
    pack_fields,
    parse_frame,
    seal_frame,
    verify_frame,
)
from vfs.backing.index import Index
from vfs.backing.pack_format import (
    BLOCK,
    HEADER,
    MAGIC,
    TRAILER,
    TRAILER_MAGIC,
    pack_name,
    seal,
    tables_digest,
)
from vfs.backing.packs import PackFile
from vfs.backing.places import PACKS_FOLDER
from vfs.backing.scan import LogScan
from vfs.backing.shapes import check_rows
from vfs.backing.store import fill_store
from vfs.backing.superblock import Superblock
from vfs.backing.trees import Branch, Snapshot, Tree, Trees
from vfs.changes import DataPlace, decode, encode
from vfs.checkpoint import write_capture
from vfs.errors import (
    IndexDamaged,
    LogDamaged,
    OperationError,
    OptionError,
    PackDamaged,
    SnapshotError,
    StoreError,
)
from vfs.filesystem import FileSystem
from vfs.inode.extent_map import ExtentMap
from vfs.inode.limiter import MemoryLimiter
from vfs.inode.table import InodeTable
from vfs.limits import CHUNK_BYTES, DECODED_BLOCK_BYTES, MIB, ROOT_INO, SEGMENT_BYTES
from vfs.recovery import first_rows
from vfs.vetting import steps, vet

UUID = bytes(range(16))
PATH = Path("/fuzz")
LENGTHS = struct.Struct("<HHB")


def superblock(data: bytes) -> None:
    """NotAStore, NewerFormat or OptionError, or fields that encode to what decodes to them."""
    text = data[1:]
    if data[:1] >= b"\x80":
        try:
            fields = json.loads(text)
            sealed = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")
            text = json.dumps({**fields, "checksum": xxh3_64_hexdigest(sealed)}).encode("ascii")
        except (ValueError, TypeError, RecursionError):
            return
    try:
        found = Superblock.decode(text, PATH)
    except StoreError:
        return
    assert Superblock.decode(found.encode(), PATH) == found
    with suppress(OptionError):
        CreationOptions.from_fields(found.options)


def frames(data: bytes) -> None:
    """BadBytes, or frames that lie inside of what there is; a scan that ends, rightly or with LogDamaged."""
    chunk = _sealed_chunk(data[1:]) if data[:1] >= b"\x80" else data[1:]
    with suppress(BadBytes):
        decode_chunk_header(chunk[:CHUNK_HEADER_BYTES], UUID, 1)
    view = memoryview(chunk)
    for frame in find_frames(view, 0, UUID, 1, lambda frame: True):
        assert parse_frame(view, frame.offset) == frame
        verify_frame(view, frame, UUID, 1)
        assert frame.end <= len(view)
    storage = SimulatedStorage()
    storage.make_folder(LOG_FOLDER)
    file = storage.create(chunk_name(1))
    file.append((chunk,))
    file.close()
    scan = LogScan(storage, UUID, data[0] % 4 if data else 0, settle=True)
    try:
        lsns = [record.lsn for record in scan.records()]
    except LogDamaged:
        return
    assert lsns == list(range(lsns[0], lsns[0] + len(lsns))) if lsns else True
    assert scan.ending is not None
    assert scan.ending.size_bytes <= len(chunk) <= CHUNK_BYTES


def _sealed_chunk(data: bytes) -> bytes:
    """A chunk of frames, each described by 5 bytes (lengths of command and data, what is wrong with it)."""
    chunk = encode_chunk_header(UUID, 1, 1, 0)
    lsn = 1
    while len(data) > LENGTHS.size:
        command, length, wrong = LENGTHS.unpack_from(data)
        body, data = data[LENGTHS.size :], data[LENGTHS.size + command % 512 + length % 512 :]
        command, length = command % 512, length % 512
        said = command ^ (wrong & 1) << 20, length ^ (wrong & 2) << 30
        head = pack_fields(b"vFrm", *said, wrong & 4, lsn + (wrong & 8) * 2**57, min(lsn - 1, wrong & 16))
        first, second = body[:command], body[command : command + length]
        chunk += b"".join(map(bytes, seal_frame(UUID, 1, len(chunk), head, first, second)))
        lsn += 1
    return chunk


class _Tables:
    """Tables over the index of a small store; made once, and anew for each input over the same index."""

    def __init__(self, *, layered: bool) -> None:
        storage = SimulatedStorage()
        fill_store(storage, first_rows(0, 0))
        if layered:
            fs = FileSystem.open_storage(storage, pack_workers=0)
            fs.write_bytes("/file", b"content")
            fs.make_directory("/folder")
            fs.create_snapshot("one")
            fs.clone("one", ROOT_INO, b"clone")
            fs.write_bytes("/clone/file", b"of the clone")
            fs.create_snapshot("two")
            fs.close()
        self.index = Index.open(storage, read_only=False)

    def fresh(self) -> InodeTable:
        """Tables as replay begins with them."""
        self.index.load_trees()
        return InodeTable(self.index, MemoryLimiter(MIB), lambda inode: None, cached_inodes=1000)


_tables: dict[bool, _Tables] = {}


def records(data: bytes) -> None:
    """Records one after the other, as replay takes them: refused, or applied to tables that stay sound."""
    _replay(data, layered=False)


def clones(data: bytes) -> None:
    """The same among trees; what was applied can be brought into the index."""
    table = _replay(data, layered=True)
    table.begin_capture(10, {}, closing=False)
    while not table.tracker.gather(100):
        pass
    capture = table.tracker.capture
    assert capture is not None
    with _tables[True].index.checking(writable=True) as transaction:
        write_capture(transaction, capture)
    for tree in table.trees:
        assert tree.chain
        table.trees.through(tree.branch)


def _replay(data: bytes, *, layered: bool) -> InodeTable:
    if layered not in _tables:
        _tables[layered] = _Tables(layered=layered)
    table = _tables[layered].fresh()
    lsn = 0
    while data:
        length, data = data[0] * 4 + 1, data[1:]
        command, content, data = data[:length], data[length : length + 64], data[length + 64 :]
        lsn += 1
        place = DataPlace(lsn, 1, 64, 104, content)
        try:
            change = decode(command)
            assert decode(encode(change)) == change
            for step in steps(change):
                vet(step, table, place)
                step.apply(table, place)
        except (msgspec.MsgspecError, OperationError, KeyError, ValueError):
            break  # what recovery takes for damage: the store is not opened
    for sequence in table.sequences.values():
        sequence.skip_reserved()
    for inode in table.loaded():
        assert 0 <= inode.size < 2**63
        if inode.is_directory:
            cookie = 2
            names = table.directory(inode)
            while rows := names.list_after(cookie, 100):
                assert rows[-1][2] > cookie
                cookie = rows[-1][2]
        if inode.file is not None:
            assert inode.file.memory_bytes <= 64 * MIB
            inode.file.plan(0, MIB)
    return table


def trees(data: bytes) -> None:
    """IndexDamaged, or trees each of which can be looked at, and go again."""
    try:
        meta, branches, rows, snapshots = msgspec.msgpack.decode(data)
        meta = dict(check_rows("the store's numbers", meta))
        found = Trees.load(
            meta,
            [Branch(*row) for row in check_rows("a branch", branches)],
            [Tree(*row) for row in check_rows("a tree", rows)],
            [Snapshot(*row) for row in check_rows("a snapshot", snapshots)],
        )
    except (msgspec.MsgspecError, IndexDamaged, ValueError, TypeError):
        return
    for tree in found:
        for reference in (1, 5 << 40 | 1, 1 << 40 | 7):
            found.to_row(tree.id, found.from_row(tree.id, reference))
        assert found.chain(tree.root_ino) == tree.chain
        assert tree.id in found.through(tree.branch)
    for snapshot in found.snapshots:
        assert found.frozen(snapshot) is not None
    with suppress(SnapshotError):
        number = found.take_id()
        assert number not in found.branches
        assert found.get(number) is None
    for tree in found:
        found.drop(tree.id)
    assert not list(found)


def maps(data: bytes) -> None:
    """IndexDamaged, or extents that cover a segment at the most, and encode to what decodes to them."""
    try:
        found = ExtentMap.decode(data)
    except IndexDamaged:
        return
    found.check_invariants()
    assert found.length <= SEGMENT_BYTES
    again = ExtentMap.decode(found.encode())
    assert again.placed() == found.placed()
    assert sum(extent.length for extent in found.cut(0, SEGMENT_BYTES)) == SEGMENT_BYTES


def packs(data: bytes) -> None:
    """PackDamaged, or tables whose blocks and blobs lie inside."""
    content = _sealed_pack(data[1:]) if data[:1] >= b"\x80" else data[1:]
    name = blake3(content).hexdigest()
    if data[:1] >= b"\x80" and len(content) >= 192:
        name = _name(content)
    storage = SimulatedStorage()
    storage.make_folder(PACKS_FOLDER)
    file = storage.create(f"{PACKS_FOLDER}/{name}")
    file.append((content,))
    file.close()
    try:
        pack = PackFile.open(storage, name, UUID)
    except PackDamaged:
        return
    try:
        blocks = pack.blocks()
        for blob in pack.blobs():
            assert blob.length <= DECODED_BLOCK_BYTES
        for block in blocks:
            assert 64 <= block.offset <= block.offset + block.stored <= len(content)
            if block.size <= 4 * MIB:
                assert len(pack.read_block(block)) == block.size
        pack.find(bytes(32))
    except PackDamaged:
        pass
    finally:
        pack.close()


def _sealed_pack(data: bytes) -> bytes:
    """A pack whose table and blob index are any bytes, or what is given of them, under right checksums."""
    if len(data) < 4:
        return data
    blocks, blobs, table_wrong, count_wrong = data[0] % 4, data[1] % 4, data[2], data[3]
    rest = data[4:]
    table, rest = rest[: blocks * BLOCK.size].ljust(blocks * BLOCK.size, b"\0"), rest[blocks * BLOCK.size :]
    index, body = rest[: blobs * 56].ljust(blobs * 56, b"\0"), rest[blobs * 56 :]
    if not table_wrong & 1:  # checksums of blocks as they are
        entries = []
        at = 64
        for number, _, stored, size, codec, _, _ in BLOCK.iter_unpack(table):
            stored %= len(body) + 1
            piece = body[at - 64 : at - 64 + stored]
            checksum = xxh3_64_intdigest(piece, number)
            entries.append(BLOCK.pack(number, at, stored, size % (8 * MIB), codec % 2, 0, checksum))
            at += stored
        table = b"".join(entries)
    header = seal(HEADER.pack(MAGIC, 1, 0, UUID, 7))
    table_at = len(header) + len(body)
    counts = (blocks, blobs) if not count_wrong & 1 else (blocks + 2**31, blobs)
    digest = tables_digest(header, table, index)
    trailer = seal(TRAILER.pack(TRAILER_MAGIC, *counts, table_at, table_at + len(table), digest))
    return header + body + table + index + trailer


def _name(content: bytes) -> str:
    _, blocks, _, table_at, index_at, _ = TRAILER.unpack(content[-64:-8])
    if blocks > len(content):
        return "ab" * 32
    return pack_name(content[:64], content[table_at:index_at], content[index_at:-64], content[-64:])


def blocks(data: bytes) -> None:
    """BadBytes, or as many bytes as were asked for."""
    if len(data) < 5:
        return
    size = int.from_bytes(data[:4], "little") if data[4] & 1 else len(data) * 7 % 5000
    try:
        found = decompress(data[5:], size)
    except BadBytes:
        return
    assert len(found) == size <= DECODED_BLOCK_BYTES


TARGETS: dict[str, Callable[[bytes], None]] = {
    "superblock": superblock,
    "frames": frames,
    "records": records,
    "clones": clones,
    "trees": trees,
    "maps": maps,
    "packs": packs,
    "blocks": blocks,
}
