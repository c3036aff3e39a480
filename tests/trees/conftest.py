"""Fixtures of the tests of whole trees: a store, and the tree with one of everything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from tests.trees.material import make_everything


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    """An open file system; afterwards its store must be sound."""
    store = tmp_path / "store"
    vfs.mkfs(store)
    with vfs.open(store) as opened:
        yield opened
        opened.table.check_invariants()
    report = vfs.check(store)
    assert report.clean, report.problems


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """A tree with one of everything."""
    top = tmp_path / "everything"
    make_everything(top)
    return top
