"""Reading packed files from end to end: each block is decoded once, and before it is wanted."""

import random
from pathlib import Path

from tests.packing.stores import KIB, opened
from vfs.limits import MIB


def test_a_sequential_reader_decodes_each_block_once(store: Path) -> None:
    with opened(store) as fs:
        fs.write_bytes("/a", b"".join(b"%d, " % number for number in range(3 * MIB // 2)))
        fs.flush()
        size = fs.resolve("/a").size
        (blocks,) = fs.store.index._all("SELECT count(*) FROM block")[0]
    with opened(store, cache_bytes=8 * MIB) as fs:
        ino = fs.resolve("/a").ino
        for at in range(0, size, 128 * KIB):
            fs.read(ino, at, 128 * KIB)
        assert blocks > 10
        assert fs.blobs.cache.misses == blocks


def test_a_sequential_reader_is_read_ahead_for(store: Path) -> None:
    with opened(store) as fs:
        fs.write_bytes("/a", b"".join(b"%d, " % number for number in range(3 * MIB // 2)))
        fs.flush()
        size = fs.resolve("/a").size
    with opened(store, cache_bytes=32 * MIB) as fs:
        ino = fs.resolve("/a").ino
        waited = 0
        for at in range(0, size, 128 * KIB):
            if fs.read_resident(ino, at, 128 * KIB) is None:
                waited += 1
                plan = fs.begin_read(ino, at, 128 * KIB)
                fs.run_read(plan)
            else:
                found = fs.begin_ahead()
                if found is None:
                    continue
                plan = found
            fs.run_ahead(plan)
            fs.end_read(plan)
        assert waited <= 2
        waits = 0
        for at in random.Random(1).sample(range(0, size - 4096, 4096), 50):
            fs.read(ino, at, 4096)
            waits += fs.begin_ahead() is not None
        assert waits == 0, "nobody reads ahead of a reader that jumps about"
