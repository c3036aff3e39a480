"""The parts of the bench about the log: a tiny run of each gives every figure and cleans up.

Promises to be quick; it never judges a figure.
"""

from pathlib import Path
from typing import Any

import pytest

from bench.fsync import PROCESSES, append_and_sync
from bench.fsync import Line as FsyncLine
from bench.replay import HEADING, RECORDS, Kind
from tests.tiny_bench import figures_of, run_bench

mounted = pytest.mark.mounted
pytestmark = pytest.mark.timeout(600)


def tiny(group: str, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """The rows of the table that a tiny run prints, and its JSON; all else is gone."""
    done = run_bench(group, folder, "--sizes", "tiny")
    assert done.returncode == 0
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    return rows, figures_of(folder)


@mounted
def test_replay(tmp_path: Path) -> None:
    rows, document = tiny("replay", tmp_path)
    kinds = [Kind(**kind) for kind in document["kinds"]]
    assert [kind.name for kind in kinds] == list(RECORDS["tiny"])
    assert [kind.row() for kind in kinds] == rows[2:]
    for kind in kinds:
        assert kind.records >= RECORDS["tiny"][kind.name]
        assert kind.log_bytes > 0
        assert all(value > 0 for value in [*kind.mount_seconds, *kind.empty_mount_seconds, *kind.peak_bytes])
    assert rows[0].count("|") == rows[2].count("|") == len(HEADING) + 1


@mounted
def test_fsync(tmp_path: Path) -> None:
    rows, document = tiny("fsync", tmp_path)
    lines = [FsyncLine(**line) for line in document["lines"]]
    assert [line.processes for line in lines] == list(PROCESSES["tiny"])
    assert [line.row() for line in lines] == rows[2 : 2 + len(lines)]
    assert [row.split(" | ")[0] for row in rows[-2:]] == ["| trio.to_thread", "| mount/sync_thread.py"]
    for line in lines:
        assert line.ratios[0] > 0
        assert line.syncs[0] > 0
        assert set(line.rates) == set(line.gains) == {"host", "vfs"}


def test_who_is_late_has_synced_once(tmp_path: Path) -> None:
    assert append_and_sync(tmp_path / "file", 0.0) == 1
