"""A store that was closed cleanly takes no more room than what is in it."""

from pathlib import Path

import vfs
from tests.packed_stores import noise, opened
from vfs.limits import MIB


def test_a_store_that_was_closed_keeps_no_dead_log(tmp_path: Path) -> None:
    store = tmp_path / "empty"
    vfs.mkfs(store)
    with opened(store) as fs:
        fs.write_bytes("/file", noise(1, 3 * MIB))
        fs.flush()
        for number in range(3000):
            fs.mknod(1, b"%d" % number, 0o644)
    assert sum(path.stat().st_size for path in (store / "log").iterdir()) < 1000
    with opened(store) as fs:
        assert len(fs.listdir("/")) == 3001
        assert fs.read_bytes("/file") == noise(1, 3 * MIB)
        fs.write_bytes("/after", b"text")
    with opened(store) as fs:
        assert fs.read_bytes("/after") == b"text"
