"""Writes the first inputs of the fuzzer: one or two right ones for each way into each target.

    python -m tests.fuzz.seeds [FOLDER]

Never overwrites what the fuzzer has found: names begin with `seed-`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import zstandard
from msgspec.msgpack import encode

from tests.fuzz.targets import LENGTHS, UUID
from vfs.backing.frames import encode_chunk_header, pack_fields, seal_frame
from vfs.backing.pack_format import BLOB, BLOCK
from vfs.backing.superblock import Superblock

CORPUS = Path(__file__).parent / "corpus"
NOW = 1_700_000_000 * 10**9
FILE = 0o100644


def _record(command: list[object], content: bytes = b"") -> bytes:
    encoded = encode(command)
    length = (len(encoded) + 3) // 4
    # msgpack is over at its end: what is left of the room is filled by a longer name or number beforehand.
    assert length * 4 + 1 >= len(encoded)
    return bytes((length,)) + encoded.ljust(length * 4 + 1, b"\0") + content.ljust(64, b"\0")


def _exact(command: list[Any], name_at: int) -> bytes:
    """A record whose encoded length is 1 more than a multiple of 4, by the length of its name."""
    for more in range(4):
        padded = [*command]
        padded[name_at] = padded[name_at] + b"x" * more
        if len(encode(padded)) % 4 == 1:
            return bytes((len(encode(padded)) // 4,)) + encode(padded) + b"data".ljust(64, b"!")
    raise AssertionError("one of four lengths fits")


def seeds() -> dict[str, list[bytes]]:
    """By target."""
    block = Superblock(UUID, NOW, {"compression": "zstd:3", "block_bytes": 131072})
    fields = json.loads(block.encode())
    head = pack_fields(b"vFrm", 5, 9, 0, 1, 0)
    plain = encode_chunk_header(UUID, 1, 1, 0)
    plain += b"".join(map(bytes, seal_frame(UUID, 1, 64, head, b"12345", b"data data")))
    frame = LENGTHS.pack(5, 9, 0) + b"12345" + b"data data"
    stored = zstandard.ZstdCompressor(level=3).compress(b"hello hello hello " * 20)
    table = BLOCK.pack(9, 64, len(stored), 360, 1, 0, 0)
    index = BLOB.pack(bytes(32), 5, 0, 0, 18, 0)
    create = [1, 1, b"name", 3, 2, FILE, 0, 0, 0, NOW, 3, 1, None]
    rename = [4, 1, b"from", 1, b"to", 2, 4, 2, 2, 0, 0, NOW]
    together = [14, [[1, 1, b"more", 3, 3, FILE, 0, 0, 0, NOW, 3, 1, None]]]
    clone = [15, 1, b"new", 1000, 900, 901, 0, 1, 1, 9, NOW, False]
    inside = [1, 900 << 40 | 1, b"name", 1000, 900 << 40 | 77, FILE, 0, 0, 0, NOW, 3, 1, None]
    drop = [16, 1, b"newx", 900 << 40 | 1, [], 2, NOW]
    meta = [["generation", 3], ["next_tree", 9]]
    frozen = [[2, 0, 1, 0, 1, 1, 5, 5, 5, 0], [4, 4, 0, 3, 1 << 62, 1, 0, 0, 0, 0]]
    return {
        "clones": [
            _exact(clone, 2),
            _exact(clone, 2) + _exact(inside, 2),
            _exact(clone, 2) + _exact(drop, 2),
            _record([14, [clone]]),
            _exact([3, 3 << 40 | 1, b"file", 3 << 40 | 2, 0, 2, NOW], 2),
        ],
        "trees": [encode([meta, [[3, 0, 1]], frozen, [[1, "one", NOW, "", 0]]]), encode([meta, [], [], []])],
        "superblock": [b"\0" + block.encode(), b"\xff" + json.dumps(fields).encode()],
        "frames": [b"\0" + plain, b"\xff" + frame * 3, b"\x82" + frame],
        "records": [
            _exact(create, 2),
            _exact(create, 2) + _exact(rename, 2),
            _exact([11, 1, b"user.x", b"value", NOW], 2),
            _record(together),
            _record([8, 2, 0, FILE, NOW, [[5, 7]]]),
            _record([9, 2, 0, 100, FILE, NOW, [[2, 100, 0]]]),
        ],
        "maps": [encode([[1, 11, 1, 64, 129], [2, 4085, 0], [3, 5, 1, 0]]), encode([[2, 1 << 24, 7]])],
        "packs": [b"\xff\x01\x01\0\0" + table + index + stored, b"\xff\x00\x00\0\0"],
        "blocks": [(360).to_bytes(4, "little") + b"\1" + stored],
    }


def write(folder: Path) -> None:
    """Write them."""
    for target, inputs in seeds().items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / target / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else CORPUS)
