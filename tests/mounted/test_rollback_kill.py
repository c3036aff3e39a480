"""A daemon that is killed while it rolls back: one state or the other, whole, and nobody waits for ever."""

import mmap
import os
import random
import time
from pathlib import Path

import pytest

import vfs as library
from tests.mounted.killing import seeds
from tests.mounted.mounting import MountedStore
from tests.mounted.rolling import Pause, freeze, roll_back, start_rollback, wait_until_it_asks
from tests.mounted.trees import describe

pytestmark = pytest.mark.mounted

FOLDERS = 10


def plant(root: Path, text: str) -> None:
    """Folders of files, with the text in each; some names for each text."""
    for number in range(FOLDERS):
        folder = root / f"{number}"
        folder.mkdir(exist_ok=True)
        (folder / "always").write_bytes(text.encode() * 1000)
        (folder / text).write_bytes(b"%d" % number)


def test_killed_at_any_time_of_a_rollback_it_leaves_one_state_whole(mounted: MountedStore) -> None:
    at = mounted.path
    plant(at, "then")
    then = describe(at)
    freeze(mounted, "then")
    plant(at, "now")
    for number in range(5):
        (at / f"{number}").rename(at / f"moved {number}")
    now = describe(at)
    ended = 0
    for seed in seeds(2):
        assert describe(at) == now
        rollback = start_rollback(mounted, "then")
        wait_until_it_asks(rollback)
        time.sleep(random.Random(seed).uniform(0, 0.4))
        mounted.kill()
        _, said = rollback.communicate(timeout=60)
        done = rollback.returncode == 0
        assert done or "ended before it answered" in said or "serves" in said, said
        with library.open(mounted.store) as fs:
            kept = [snapshot.name for snapshot in fs.snapshots() if snapshot.automatic]
        mounted.mount()
        found = describe(at)
        assert found in (then, now)
        assert found == then or not done  # what was answered has happened
        if found == then:
            ended += 1
            roll_back(mounted, kept[-1])


def test_killed_while_the_kernel_waits_for_it_in_a_thread_of_its_own(
    mounted: MountedStore, tmp_path: Path
) -> None:
    at = mounted.path
    file = at / "file"
    file.write_bytes(b"f" * 100_000)
    freeze(mounted, "then")
    pause = Pause(mounted, tmp_path / "signs")
    pause.get_stuck()
    with open(file, "r+b") as handle:
        rollback = pause.begin("then")
        with mmap.mmap(handle.fileno(), 0) as mapping:
            mapping[5000] = ord("d")
            pause.go_on()
            # The kernel writes the page, to drop it, and the daemon does not answer that.
            pause.wait_until_stuck()
            daemon = mounted.pid
            mounted.kill()  # which waits until it has ended, as a thread in the kernel does not by itself
            assert not Path(f"/proc/{daemon}").exists()
            rollback.communicate(timeout=60)
    mounted.mount()
    assert file.read_bytes() == b"f" * 100_000


def test_an_unmount_in_the_middle_of_a_rollback(mounted: MountedStore) -> None:
    at = mounted.path
    plant(at, "then")
    then = describe(at)
    freeze(mounted, "then")
    plant(at, "now")
    rollback = start_rollback(mounted, "then")
    wait_until_it_asks(rollback)
    mounted.unmount()  # also when the kernel is just being asked to write what it keeps
    rollback.communicate(timeout=60)
    mounted.mount()
    found = describe(at)
    assert rollback.returncode != 0 or found == then
    assert len(found) in (len(then), len(then) + FOLDERS)
    os.statvfs(at)
