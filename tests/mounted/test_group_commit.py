"""Processes that fsync at the same time share the syncs of the log."""

import json
import sys

import pytest

from tests.mounted import slow_daemon
from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import start_python, wait_for

pytestmark = pytest.mark.mounted

PROCESSES = 8
TIMES = 6
TIMES_ALONE = 3

SLOW_SECONDS = 0.3
"""A sync takes so long that a process which waits for its turn on a busy machine comes while it lasts."""

APPENDERS = """
import os, sys
processes, times = map(int, sys.argv[1:])
ready, go = os.pipe(), os.pipe()
for number in range(processes):
    if not os.fork():
        descriptor = os.open(f"file{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(ready[1], b".")
        os.close(go[1])
        os.read(go[0], 1)  # ends for all at once
        for _ in range(times):
            os.write(descriptor, b"x" * 4096)
            os.fsync(descriptor)
        os._exit(0)
for _ in range(processes):
    os.read(ready[0], 1)
os.close(go[1])
for _ in range(processes):
    assert os.wait()[1] == 0
"""


def counted(mounted: MountedStore) -> tuple[int, int]:
    """Fsyncs that were answered, and syncs of the log."""
    facts = json.loads(vfs("info", "--json", mounted.path))
    return facts["requests"].get("fsync", {"count": 0})["count"], facts["upkeep"]["sync"]["count"]


def appended(mounted: MountedStore, processes: int, times: int) -> tuple[int, int]:
    """What so many processes have caused that append and fsync, each for itself."""
    before = counted(mounted)
    wait_for(start_python(APPENDERS, str(processes), str(times), cwd=mounted.path))
    after = counted(mounted)
    return after[0] - before[0], after[1] - before[1]


def test_eight_processes_that_fsync_need_a_third_of_the_syncs(mounted: MountedStore) -> None:
    mounted.unmount()
    mounted.command = (sys.executable, "-m", slow_daemon.__name__)
    mounted.mount("commit=300", environment={"VFS_SLOW_SECONDS": str(SLOW_SECONDS)})
    fsyncs, syncs = appended(mounted, 1, TIMES_ALONE)
    assert fsyncs == TIMES_ALONE
    assert syncs >= TIMES_ALONE  # alone each waits for its own
    fsyncs, syncs = appended(mounted, PROCESSES, TIMES)
    assert fsyncs == PROCESSES * TIMES
    print(f"{syncs} syncs for {fsyncs} fsyncs")
    assert 3 * syncs <= fsyncs
