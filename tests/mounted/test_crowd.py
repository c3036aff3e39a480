"""16 processes with mixed work at once, beside packing, gc and fsck: all invariants hold, nothing is lost.

The default run is short; `make stress SECONDS=n` runs it for longer, with the seed in SEED.
"""

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.crowd import Crowd
from tests.mounted.mounting import ROOT, VFS, MountedStore, vfs
from tests.mounted.programs import PROGRAM_SECONDS
from tests.mounted.test_memory import drop_kernel_caches
from tests.mounted.trees import describe
from tests.mounted.vitals import MIB, vitals, watched

SECONDS = float(os.environ.get("VFS_STRESS_SECONDS", "10"))
SEED = int(os.environ.get("VFS_STRESS_SEED", "1"))

pytestmark = [pytest.mark.mounted, pytest.mark.timeout(4 * SECONDS + 300)]

PROCESSES = 16
CACHE = "cache_size=1M"
KILLS = max(2, int(SECONDS / 10))
MEMORY_BYTES = 100 * MIB
DESCRIPTORS = 250
THREADS = 60


@contextmanager
def upkeep(mounted: MountedStore, *verbs: str) -> Iterator[Counter[str]]:
    """Those commands one after the other, again and again, while the block runs. Each must succeed."""
    done = Counter[str]()
    failures: list[BaseException] = []
    ended = threading.Event()

    def work() -> None:
        try:
            while not ended.is_set():
                for verb in verbs:
                    vfs(*verb.split(), mounted.path)
                    done[verb] += 1
                    if ended.wait(0.3):
                        return
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        ended.set()
        thread.join()
        if failures:
            raise failures[0]


def wait_for_each(done: Counter[str], *verbs: str) -> None:
    """Until each has been done, beside the crowd."""
    end = time.monotonic() + PROGRAM_SECONDS
    while not all(done[verb] for verb in verbs):
        assert time.monotonic() < end, f"{done}: not {verbs}"
        time.sleep(0.05)


def start_verb(mounted: MountedStore, verb: str) -> subprocess.Popen[bytes]:
    """Something that is under way when the daemon is killed."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*VFS, verb, str(mounted.path)], cwd=ROOT, stdout=quiet, stderr=quiet)


def test_a_crowd_beside_packing_and_gc(mount_store: Mounter, tmp_path: Path) -> None:
    mounted = mount_store(CACHE, "backlog=64M", hanging_seconds=2 * SECONDS + 200)
    at_first = vitals(mounted.pid)
    crowd = Crowd(mounted.path / "crowd", tmp_path / "notes", PROCESSES, SEED)
    try:
        with watched(mounted.pid) as most, upkeep(mounted, "flush", "gc") as packed:
            with upkeep(mounted, "fsck", "info") as checked:
                crowd.start(SECONDS)
                wait_for_each(packed, "flush", "gc")
                wait_for_each(checked, "fsck", "info")
                done = crowd.join(SECONDS)
    finally:
        crowd.end()
    print(f"{sum(done.values())} steps: {json.dumps(done)}\nbeside {json.dumps(packed + checked)}")
    print(f"{at_first} before, at most {most}")
    assert sum(done.values()) > 20 * SECONDS
    assert most.memory_bytes < MEMORY_BYTES, most
    assert most.descriptors < DESCRIPTORS, most
    assert most.threads < THREADS, most
    crowd.verify(finished=True)
    tree = describe(mounted.path)
    vfs("fsck", "--data", mounted.path)
    vfs("gc", mounted.path)
    drop_kernel_caches()
    assert describe(mounted.path) == tree
    mounted.remount()
    assert describe(mounted.path) == tree
    crowd.verify(finished=True)
    vfs("fsck", "--data", mounted.path)


def test_a_crowd_whose_daemon_is_killed(mount_store: Mounter, tmp_path: Path) -> None:
    mounted = mount_store(CACHE, "backlog=64M", hanging_seconds=2 * SECONDS + 200)
    crowds: list[Crowd] = []
    chance = random.Random(SEED)
    for number in range(KILLS):
        crowd = Crowd(
            mounted.path / f"crowd-{number}",
            tmp_path / f"notes-{number}",
            PROCESSES,
            SEED + number,
            daemon_dies=True,
        )
        crowds.append(crowd)
        try:
            crowd.start(SECONDS + 60)
            threading.Event().wait(chance.uniform(0.5, 2.5))
            beside = start_verb(mounted, ("flush", "gc", "fsck")[number % 3])
            threading.Event().wait(chance.uniform(0.2, 0.8))
            assert crowd.running
            mounted.kill_daemon()
            crowd.join(30)  # before the mount goes: one that is slow would look for its files below it
            mounted.clear()
            beside.wait(timeout=60)  # it may have ended well, or not found its daemon any more
        finally:
            crowd.end()
        mounted.fsck()
        mounted.mount()
        for each in crowds[-3:]:
            each.verify(finished=False)
    print(f"{sum(crowd.operations for crowd in crowds)} operations acknowledged before {KILLS} kills")
    vfs("fsck", "--data", mounted.path)
    mounted.remount()
    for crowd in crowds:
        crowd.verify(finished=False)
