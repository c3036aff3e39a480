"""A new store, on the disk or open."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from tests.packing.stores import opened
from vfs import FileSystem


@pytest.fixture
def store(tmp_path: Path) -> Path:
    vfs.mkfs(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def fs(store: Path) -> Iterator[FileSystem]:
    with opened(store) as fs:
        yield fs
    assert vfs.check(store).clean
