"""Finding, renaming and removing one of many directories costs the same however many there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

import vfs
import vfs.inode.after_commit
import vfs.inode.directory
from vfs.inode.ahead import MOST_WIDTH

MANY = 300


@pytest.mark.parametrize("order", [1, -1], ids=["first to last", "last to first"])
def test_each_is_found_without_a_look_at_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    # As with more directories than are read as a whole.
    monkeypatch.setattr(vfs.inode.after_commit, "WHOLE_DIRECTORY_ENTRIES", 3)
    monkeypatch.setattr(vfs.inode.directory, "COMPLETE_ENTRIES", 2)
    store = tmp_path / "store"
    vfs.mkfs(store)
    names = [b"%d" % number for number in range(MANY)][::order]
    with vfs.open(store) as fs:
        fs.autopilot = False
        for name in names:
            fs.mkdir(1, name, 0o755)
        fs.checkpoint()
    with vfs.open(store) as fs:
        fs.autopilot = False
        listed = _count(monkeypatch, fs)
        for name in names:
            assert fs.find(1, name) is not None
            fs.rename(1, name, 1, name + b" moved")
            assert fs.find(1, name + b" moved") is not None
        for name in names[::2]:
            fs.rename(1, name + b" moved", 1, name, 0)
            assert fs.find(1, name) is not None
            fs.rmdir(1, name)
        for name in names[1::2]:
            fs.rmdir(1, name + b" moved")
        # None of these asks what else its directory holds, but look-ups in order for what they will want
        # next; that each is empty is asked of itself.
        assert sum(rows for directory, rows in listed if directory == 1) <= MANY + 2 * MOST_WIDTH
        assert fs.listdir() == []
    assert vfs.check(store).clean


def _count(monkeypatch: pytest.MonkeyPatch, fs: vfs.FileSystem) -> list[tuple[int, int]]:
    """The directories of which the index is asked for entries, from now on, and how many it gave."""
    asked: list[tuple[int, int]] = []
    index = fs.store.index
    entries_after: Callable[[int, int, int], list[tuple[bytes, int, int, int]]] = index.entries_after

    def counting(parent: int, cookie: int, limit: int) -> list[tuple[bytes, int, int, int]]:
        rows = entries_after(parent, cookie, limit)
        asked.append((parent, len(rows)))
        return rows

    monkeypatch.setattr(index, "entries_after", counting)
    return asked
