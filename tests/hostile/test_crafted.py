"""Hostile stores: whatever is crafted into one, vfs answers with right data or one clear line.

No traceback, no hang, no memory that grows with what a store says instead of what it has, and nothing outside
of the store is touched: files beside it keep their content and times, also the time of the last reading.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import (
    hostile_indexes,
    hostile_logs,
    hostile_packs,
    hostile_places,
    hostile_superblocks,
    hostile_trees,
)
from tests.hostile.crafting import ALL, Hostile, Workshop, good_store, layered_store

pytestmark = pytest.mark.timeout(600)  # now and then one waits for the visits of many

ROOT = Path(__file__).resolve().parents[2]
KINDS = (
    hostile_superblocks,
    hostile_logs,
    hostile_indexes,
    hostile_packs,
    hostile_places,
    hostile_trees,
)
STEPS = (
    *("library", "info", "fsck", "fsck --data", "export", "export tar", "list", "write", "repair"),
    "fsck after",
)
TREE_STEPS = ("trees", "trees after", "fsck at last")
SECONDS = 30.0
"""What one step may take of a processor, however slow that is; they take some hundredths of one."""

MEMORY_BYTES = 400 << 20
"""Beyond what a step began with: the largest honest block twice, and a segment of the most extents."""

AT_ONCE = 24
"""Stores that one process visits."""

Looks = dict[str, Any]


def sentinels(folder: Path) -> dict[str, tuple[str, int, int, int]]:
    """Everything beside the store: content, times and links of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        # Looked at before it is read, which may note an access.
        digest, read_at = "", 0
        if path.is_file():
            digest, read_at = hashlib.sha256(path.read_bytes()).hexdigest(), about.st_atime_ns
            os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns), follow_symlinks=False)
        found[str(path)] = (digest, read_at, about.st_mtime_ns, about.st_nlink)
    return found


def untouched(
    before: dict[str, tuple[str, int, int, int]], after: dict[str, tuple[str, int, int, int]]
) -> bool:
    """Whether all is as it was. What also has a name in the store may be read there, and lose that name."""
    if before.keys() != after.keys():
        return False
    return all(
        was == after[path] or (was[3] > 1 and was[::2] == after[path][::2]) for path, was in before.items()
    )


class Visits:
    """Hostile stores, each made and visited once for all tests of this file, some of them at a time: those
    that a test asks for with those behind it, since another worker may have the others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.looks: dict[str, Looks] = {}
        good_store(folder / "good")
        layered_store(folder / "good", folder / "layered")

    def look(self, each: Hostile) -> Looks:
        """What its visit showed."""
        if each.name not in self.looks:
            first = ALL.index(each)
            self._visit([other for other in ALL[first : first + AT_ONCE] if other.name not in self.looks])
        return self.looks[each.name]

    def _visit(self, those: list[Hostile]) -> None:
        for each in those:
            shop = Workshop(self.folder / ("layered" if each.layered else "good"), self.folder / each.name)
            each.craft(shop)
            self.before[each.name] = sentinels(shop.outside)
        done = subprocess.run(
            [sys.executable, "-m", "tests.hostile.visitor", *(self.folder / each.name for each in those)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        for line in done.stdout.splitlines():
            looks = json.loads(line)
            self.looks[Path(looks["folder"]).name] = looks
        assert done.returncode == 0, (
            f"the visitor ended with {done.returncode} behind {done.stdout[-300:]}: {done.stderr}"
        )
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
        self.after |= {each.name: sentinels(self.folder / each.name / "outside") for each in those}


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Visits:
    return Visits(tmp_path_factory.mktemp("hostile"))


def test_the_good_store_is_good(visits: Visits, tmp_path: Path) -> None:
    """Else everything below would be refused for the wrong reason."""
    done = subprocess.run(
        [sys.executable, "-m", "vfs", "fsck", "--data", str(visits.folder / "good")], cwd=ROOT, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_hostile(visits: Visits, each: Hostile) -> None:
    looks = visits.look(each)
    for name in (*STEPS, *(TREE_STEPS if each.layered else ())):
        step = looks[name]
        assert step["trace"] == "", f"{name}: {step['trace']}"
        assert "unexpected" not in step["said"], f"{name}: {step['said']}"
        assert "Traceback" not in step["said"], f"{name}: {step['said']}"
        assert step["seconds"] < SECONDS, f"{name} took {step['seconds']} s"
        assert step["memory"] < MEMORY_BYTES, f"{name} took {step['memory'] >> 20} MiB"
        if name in ("info", "fsck", "fsck --data") and step["code"] not in (0, 4):
            assert len(step["said"].splitlines()) == 1, f"{name}: {step['said']}"
    said = looks["fsck"]["said"] + looks["fsck --data"]["said"]
    if each.words:
        assert looks["fsck"]["code"] in (4, 8) or looks["fsck --data"]["code"] in (4, 8), said
        assert re.search(each.words, said), said
    if each.opens is not None:
        assert (looks["library"]["code"] == 0) is each.opens, looks["library"]["said"]
    assert untouched(visits.before[each.name], visits.after[each.name]), "something outside was touched"
    beside = {path.name for path in (visits.folder / each.name).iterdir()}
    expected = {"store", "outside", "target", "target.tar", "other.sock"}
    assert {name for name in beside if "elsewhere" not in name} <= expected, beside
