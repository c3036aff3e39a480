"""A small store's packed side on a simulated disk: index, rows, reader, and sessions that fill packs.

Shared by the tests of packs. Commits a session's pack as the packer does, without any file that refers to it.
"""

import random
from collections.abc import Iterable

from tests.simulated.disk import SimulatedStorage
from vfs.backing.blobs import Blobs
from vfs.backing.codecs import Compression
from vfs.backing.index import Index
from vfs.backing.pack_rows import PackRows
from vfs.backing.pack_session import PackSession
from vfs.backing.places import PACKS_FOLDER, SealedPack
from vfs.limits import KIB, MIB

UUID = bytes(range(16))
BLOCK_BYTES = 16 * KIB


def text(length: int, seed: int = 0) -> bytes:
    """Bytes that compress."""
    chance = random.Random(seed)
    words = [chance.randbytes(5).hex() for _ in range(40)]
    made = b""
    while len(made) < length:
        made += " ".join(chance.choice(words) for _ in range(200)).encode()
    return made[:length]


def media(length: int, seed: int = 0) -> bytes:
    """Bytes that do not."""
    return random.Random(seed).randbytes(length)


class PackedStore:
    """What a store has to do with packs."""

    def __init__(self, storage: SimulatedStorage | None = None, cache_bytes: int = MIB) -> None:
        self.storage = storage or SimulatedStorage()
        self.storage.make_folder(PACKS_FOLDER)
        self.index = Index.create(self.storage)
        self.rows = PackRows(self.index)
        self.blobs = Blobs(self.storage, UUID, self.rows, cache_bytes)

    def session(self, *, compression: str = "zstd:1", workers: int = 0) -> PackSession:
        """A session for one more pack."""
        return PackSession(
            self.storage,
            UUID,
            self.rows,
            self.blobs,
            compression=Compression.parse(compression),
            block_bytes=BLOCK_BYTES,
            workers=workers,
        )

    def commit(self, sealed: SealedPack) -> None:
        """Make a pack known."""
        with self.index.transaction() as transaction:
            transaction.put_pack(sealed)

    def put(self, contents: Iterable[bytes], *, compression: str = "zstd:1") -> tuple[SealedPack, list[int]]:
        """Store blobs in one new pack; returns it and their numbers."""
        session = self.session(compression=compression)
        numbers = [session.add(content) for content in contents]
        sealed = session.seal()
        assert sealed is not None
        self.commit(sealed)
        return sealed, numbers

    def again(self, cache_bytes: int = MIB) -> Blobs:
        """A reader that has seen nothing yet."""
        return Blobs(self.storage, UUID, self.rows, cache_bytes)


def file_of(pack: SealedPack) -> str:
    """Where a pack lies."""
    return f"{PACKS_FOLDER}/{pack.name}"
