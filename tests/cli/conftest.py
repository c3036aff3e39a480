"""Fixtures of the command line's tests: stores, mount points, and their removal whatever a test did."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs as library
from vfs.mount.mountinfo import read_mounts


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A new store, with blanks and letters beyond ASCII in its path."""
    path = tmp_path / "my störe, 1"
    library.mkfs(path)
    return path


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    """An empty folder to mount on; what is left mounted on it or below is detached."""
    path = tmp_path / "mount point"
    path.mkdir()
    yield path
    for mount in reversed(read_mounts()):
        if mount.point.is_relative_to(tmp_path):
            subprocess.run(["fusermount3", "-u", "-z", "-q", "--", str(mount.point)], check=False, timeout=60)
