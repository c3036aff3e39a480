"""An inode that cannot be read costs its own entry, not the directory that it is in."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run

pytestmark = pytest.mark.mounted

NAMES = {f"file-{number:04}" for number in range(600)} | {"victim"}
TARGET = b"a target that stands in one row of the index only"


ROW_BYTES = 50
"""No row of an inode is shorter: it has four times of six to eight bytes, and eleven other numbers."""


def statuses(folder: Path) -> tuple[set[str], set[str]]:
    """The names that can be asked for their attributes, and those that answer EIO."""
    good, bad = set(), set()
    for name in os.listdir(folder):
        try:
            os.lstat(folder / name)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            bad.add(name)
        else:
            good.add(name)
    return good, bad


def test_a_damaged_page_of_inodes_costs_those_alone(mounted: MountedStore) -> None:
    folder = mounted.path / "folder"
    folder.mkdir()
    for number, name in enumerate(sorted(NAMES - {"victim"})):
        (folder / name).write_bytes(b"x")
        if number == 300:
            os.symlink(TARGET, folder / "victim")
    mounted.unmount()
    index = mounted.store / "index.db"
    sound = index.read_bytes()
    page = sound.index(TARGET) // 4096
    damaged = bytearray(sound)
    damaged[sound.index(TARGET)] ^= 1
    index.write_bytes(damaged)

    mounted.mount("noatime")  # nothing changes: no checkpoint comes, and the sound index is right later
    assert set(os.listdir(folder)) == NAMES, "all are listed"
    with os.scandir(folder) as entries:
        kinds = {entry.name: entry.is_symlink() for entry in entries}
    assert kinds == {name: name == "victim" for name in NAMES}
    good, bad = statuses(folder)
    assert good | bad == NAMES
    assert "victim" in bad
    assert 0 < len(bad) <= 4096 // ROW_BYTES, "what is on one page"
    listed = run("ls", "-l", folder, exit_code=1)
    assert len(listed.splitlines()) == len(NAMES) + 1
    assert sum(" file-" in line and line.startswith("-rw") for line in listed.splitlines()) == len(good)
    some = folder / min(good)
    assert some.read_bytes() == b"x"
    assert stat.S_ISREG(some.stat().st_mode)
    assert mounted.log_text().count("damaged index") <= 2, "told once, not for each entry"
    mounted.log.write_text("")
    mounted.kill()
    assert page > 0
    index.write_bytes(sound)
    for suffix in ("-wal", "-shm"):
        Path(f"{index}{suffix}").unlink(missing_ok=True)
