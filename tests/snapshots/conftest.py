"""A new store on the disk."""

from pathlib import Path

import pytest

import vfs


@pytest.fixture
def store(tmp_path: Path) -> Path:
    vfs.mkfs(tmp_path / "store")
    return tmp_path / "store"
