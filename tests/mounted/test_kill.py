"""kill -9 of the daemon under load, 20 times: what a close, an fsync or a rename acknowledged is there."""

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.mounted import kill_writer
from tests.mounted.acknowledged import verify
from tests.mounted.killing import ASKED_ROUNDS, FIRST_SEED, kill_amid
from tests.mounted.mounting import ROOT, MountedStore

pytestmark = pytest.mark.mounted

WRITERS = 3
ROUNDS = 5
OPERATIONS = 20
"""That each writer has done at least, in each round."""

DONE = b"done\n"
DEATH = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO}
"""What a program gets to see of a daemon that dies."""

Work = list[tuple[Path, Path]]


def start_writer(folder: Path, journal: Path, seed: int) -> subprocess.Popen[str]:
    folder.mkdir()
    command = [sys.executable, "-m", kill_writer.__name__, str(folder), str(journal), str(seed)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_load(work: Work) -> None:
    """Until every writer has had OPERATIONS acknowledged."""
    end = time.monotonic() + 60
    while not all(journal.exists() and acknowledged(journal) >= OPERATIONS for _, journal in work):
        assert time.monotonic() < end, "the writers do not get on"
        time.sleep(0.01)


def acknowledged(journal: Path) -> int:
    return journal.read_bytes().count(DONE)


@pytest.mark.parametrize("first_seed", range(FIRST_SEED, FIRST_SEED + max(20, ASKED_ROUNDS), ROUNDS))
def test_all_that_was_acknowledged_survives(mounted: MountedStore, tmp_path: Path, first_seed: int) -> None:
    done: Work = []
    operations = 0
    for seed in range(first_seed, first_seed + ROUNDS):
        work = [
            (mounted.path / f"{seed}-{number}", tmp_path / f"{seed}-{number}") for number in range(WRITERS)
        ]
        writers = [start_writer(*pair, seed * WRITERS + number) for number, pair in enumerate(work)]
        wait_for_load(work)
        kill_amid(mounted, seed, least_seconds=0.1, most_seconds=0.8)
        for writer in writers:
            said, _ = writer.communicate(timeout=60)
            if writer.returncode != -signal.SIGBUS:  # it was writing to a mapping
                assert writer.returncode == 0, said
                assert int(said) in DEATH, said
        mounted.clear()
        mounted.fsck()
        mounted.mount()
        operations += sum(verify(folder, journal) for folder, journal in work)
        done += work
    mounted.remount()
    for folder, journal in done:
        verify(folder, journal)
    print(f"{operations} operations acknowledged before {ROUNDS} kills")
    assert operations >= OPERATIONS * WRITERS * ROUNDS
