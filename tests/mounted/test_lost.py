"""A file that has lost bytes, on the real mount: EIO where they are and nowhere else, told once in the log,
and mended by writing there.
"""

import errno
import os
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import run
from tests.packed_stores import block, flip, noise, packs
from tests.repair.mending import apply, find
from vfs.backing.storage import DirectoryStorage

pytestmark = pytest.mark.mounted

KIB = 1024
PAGE = 4096
CONTENT = noise(7, 900_000)


def lost_some(mounted: MountedStore) -> tuple[int, int]:
    """Damage a packed file and mend what can be; returns where it has lost bytes, and how many."""
    (mounted.path / "file").write_bytes(CONTENT)
    (mounted.path / "other").write_bytes(CONTENT[::-1])
    vfs("flush", mounted.path)
    mounted.unmount()
    pack = packs(mounted.store)[0]
    bad = block(mounted.store, pack, codec=0, number=1)
    flip(pack, bad.offset + bad.stored - bad.size // 2)
    storage = DirectoryStorage(mounted.store)
    plan = find(storage)
    apply(storage, plan)
    storage.close()
    mounted.mount()
    (lost,) = plan.files
    assert lost.path == "/file"
    ((offset, length),) = lost.ranges
    assert 0 < length <= 32 * KIB
    return offset, length


def readable_pages(path: Path) -> list[int]:
    """Offsets of the pages that can be read; what they hold must be right."""
    found = []
    with open(path, "rb", buffering=0) as file:
        for at in range(0, len(CONTENT), PAGE):
            try:
                data = os.pread(file.fileno(), PAGE, at)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
            else:
                assert data == CONTENT[at : at + PAGE], at
                found.append(at)
    return found


def test_a_file_with_a_lost_range(mounted: MountedStore, tmp_path: Path) -> None:
    offset, length = lost_some(mounted)
    file = mounted.path / "file"
    first, stop = offset // PAGE * PAGE, -(-(offset + length) // PAGE) * PAGE
    right = [at for at in range(0, len(CONTENT), PAGE) if not first <= at < stop]
    assert file.stat().st_size == len(CONTENT)
    assert file.stat().st_blocks * 512 >= len(CONTENT), "what is lost is no hole"
    assert readable_pages(file) == right
    assert (mounted.path / "other").read_bytes() == CONTENT[::-1]

    run("cp", file, tmp_path / "copy", exit_code=1)
    run("cmp", "--bytes", str(first), file, tmp_path / "copy")
    run("dd", f"if={file}", f"of={tmp_path / 'rescued'}", f"bs={PAGE}", "conv=noerror,sync")
    rescued = (tmp_path / "rescued").read_bytes()
    assert all(rescued[at : at + PAGE][: len(CONTENT) - at] == CONTENT[at : at + PAGE] for at in right)

    told = [line for line in mounted.log_text().splitlines() if " are lost; " in line]
    assert len(told) == 1
    assert f" /file: {length} bytes at {offset} of inode {file.stat().st_ino} " in told[0]
    mounted.log.write_text("")
    assert f"lost: /file: {length} bytes at {offset}" in vfs("fsck", mounted.path).splitlines()

    with open(file, "r+b", buffering=0) as handle:
        handle.seek(first)
        handle.write(CONTENT[first:stop])
        os.fsync(handle.fileno())
    for _ in range(2):
        assert file.read_bytes() == CONTENT
        mounted.remount()
    assert mounted.fsck()["lost"] == []
