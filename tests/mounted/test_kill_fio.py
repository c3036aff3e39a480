"""kill -9 of the daemon under fio: each write that fio was told is done verifies after the next mount.

fio writes blocks with a checksum and their number in them, and on an error saves how far each job had come
(`verify_state`). Afterwards it goes through the same random order again, up to there, and reads every block
back. A write is told done when the daemon has answered it (`direct`), or when it is durable (`dsync`), never
before: the kernel's own cache of pages stands between neither.
"""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mounted.killing import kill_amid, seeds
from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import run, start

pytestmark = pytest.mark.mounted

JOBS = 2
FILE_BYTES = 2 << 30
"""More than a job writes until it is stopped, however late that comes; the files are sparse."""

MOST_BYTES = 64 << 10
"""Of one write."""

LEAST_BYTES = 1 << 20
"""That are written before the daemon dies."""

WAYS = ("--direct=1", "--sync=dsync")


def command(folder: Path, states: Path, seed: int, *more: str) -> list[str]:
    return [
        "fio",
        "--name=job",
        f"--directory={folder}",
        f"--size={FILE_BYTES}",
        f"--numjobs={JOBS}",
        "--rw=randwrite",
        f"--bsrange=4k-{MOST_BYTES}",
        "--ioengine=psync",
        "--fallocate=none",
        "--group_reporting",
        "--verify=crc32c",
        "--verify_fatal=1",
        f"--randseed={seed}",
        f"--aux-path={states}",
        "--output-format=json",
        "--eta=never",
        *more,
    ]


def written_bytes(mounted: MountedStore) -> int:
    """Since the mount."""
    return int(json.loads(vfs("info", "--requests", "--json", mounted.path))["written_bytes"])


def wait_for_writes(mounted: MountedStore, files: list[Path], writer: subprocess.Popen[str]) -> None:
    """Until each job of fio is at work, and they have written LEAST_BYTES."""
    end = time.monotonic() + 60
    while not all(file.stat().st_mtime_ns for file in files) or written_bytes(mounted) < LEAST_BYTES:
        assert writer.poll() is None, writer.communicate()
        assert time.monotonic() < end, "fio does not begin"
        time.sleep(0.01)


def counted(report: str, direction: str) -> int:
    """How many reads or writes a run of fio did."""
    job: dict[str, Any] = json.loads(report[report.index("{") :])["jobs"][0]
    return int(job[direction]["total_ios"])


def test_each_write_that_fio_was_told_is_done_verifies(mounted: MountedStore, tmp_path: Path) -> None:
    writes = 0
    for seed in seeds(2):
        folder, states = mounted.path / f"{seed}", tmp_path / f"states-{seed}"
        folder.mkdir()
        states.mkdir()
        files = [folder / f"job.{number}.0" for number in range(JOBS)]
        for file in files:
            file.touch()
            os.truncate(file, FILE_BYTES)  # what was never written reads as zeros, which do not verify
            os.utime(file, (0, 0))
        way = WAYS[seed % 2]
        saving = ("--verify_state_save=1", "--do_verify=0", way)
        writer = start(*command(folder, states, seed, *saving), cwd=tmp_path)
        wait_for_writes(mounted, files, writer)
        kill_amid(mounted, seed, least_seconds=0.4, most_seconds=1.5)
        report, _ = writer.communicate(timeout=60)
        assert writer.returncode != 0, "it can only end with the daemon's death"
        mounted.clear()
        mounted.mount()
        loading = ("--verify_state_load=1", "--verify_state_save=0", "--verify_only")
        verified = counted(run(*command(folder, states, seed, *loading), cwd=tmp_path), "read")
        assert verified >= counted(report, "write") - JOBS, "one write of each job was under way"
        writes += verified
        for file in files:
            file.unlink()
    mounted.fsck()
    print(f"{writes} writes verified after {len(seeds(2))} kills")
    assert writes >= len(seeds(2)) * (LEAST_BYTES // MOST_BYTES - JOBS)
