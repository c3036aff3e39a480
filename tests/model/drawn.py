"""What hypothesis draws for the model: names, places in files, data, modes, times."""

import os
import random
import stat
from typing import NamedTuple

from hypothesis import strategies as st

from tests.model.node import Node
from vfs.limits import SEGMENT_BYTES

IS_ROOT = os.geteuid() == 0

LONG = b"l" * 256
names = st.sampled_from([b"f", b"g", b"h", b"i", b"j", b"k", b"a", b"b", b"\xff\xfe\n ", b"n" * 255])
picks = st.integers(0, 40)
"""Which node of a list to take, modulo its length."""


class Where(NamedTuple):
    """A name in a directory: of an entry that is there, when `there`, otherwise any."""

    pick: int
    name: bytes
    there: bool


def _where(there: int, free: int) -> st.SearchStrategy[Where]:
    """So many parts of entries that are there and of any names, and one of a name that is too long."""

    def build(part: int, pick: int, name: bytes) -> Where:
        return Where(pick, LONG if part == 0 else name, 0 < part <= there)

    return st.builds(build, st.integers(0, there + free), picks, names)


somewhere = _where(9, 6)
existing = _where(15, 2)
missing = _where(2, 15)

permissions = st.sampled_from([0o644, 0o755, 0o600, 0o4755, 0o2755, 0o2644, 0o6711, 0o1777, 0])
node_kinds = st.sampled_from(
    [stat.S_IFREG, stat.S_IFREG, 0, stat.S_IFIFO, stat.S_IFSOCK]
    + ([stat.S_IFCHR, stat.S_IFBLK] if IS_ROOT else [])
)
owners = st.sampled_from([0, 1, 1000, 65534]) if IS_ROOT else st.just(os.geteuid())
groups = st.sampled_from([0, 1, 1000, 65534]) if IS_ROOT else st.just(os.getegid())
# What ext4 can store as well: 1901 to 2446.
moments = st.integers(-2 * 10**18, 2**63 - 1)

targets = st.sampled_from([b"a", b"../b", b"f", b"x" * 4095, b"x" * 4096, b""])

xattr_names = st.sampled_from([b"user.a", b"user.b", b"user.\xff"])
xattr_values = st.binary(max_size=40)
xattr_flags = st.sampled_from([0, 0, 1, 2])


class Data(NamedTuple):
    """Bytes to write, by how they are made: (length, byte or -1 for noise) pieces."""

    seed: int
    pieces: tuple[tuple[int, int], ...]

    def make(self) -> bytes:
        rng = random.Random(self.seed)
        return b"".join(rng.randbytes(n) if byte < 0 else bytes([byte]) * n for n, byte in self.pieces)


_lengths = st.sampled_from([1, 7, 63, 64, 100, 511, 4095, 4096, 4097, 5000, 8192, 12288, 20000])
_pieces = st.tuples(_lengths, st.sampled_from([-1, -1, 0, 0, 65]))
data = st.builds(Data, st.integers(0, 2**16), st.lists(_pieces, max_size=4).map(tuple))
short_data = st.builds(Data, st.integers(0, 2**16), st.tuples(st.tuples(st.integers(1, 300), st.just(-1))))


class Spot(NamedTuple):
    """A place in a file: counted from its start, its end or a border of segments."""

    base: str
    distance: int

    def of(self, node: Node) -> int:
        base = {"start": 0, "end": node.size(), "first": SEGMENT_BYTES, "second": 2 * SEGMENT_BYTES}
        return max(0, base[self.base] + self.distance)


_distances = st.sampled_from([0, 0, 0, 1, -1, 50, -50, 4096, -4096, 5000, -10000, 30000])
spots = st.builds(Spot, st.sampled_from(["start", "start", "end", "end", "first", "second"]), _distances)
lengths = st.sampled_from([0, 1, 100, 4096, 6000, 30000, 1 << 20, SEGMENT_BYTES, 40 << 20])
