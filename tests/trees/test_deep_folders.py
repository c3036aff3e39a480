"""Trees deeper than what may be open, or than a path may be long: they come in whole."""

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from vfs import FileSystem
from vfs.trees.folder_source import MOST_OPEN, FolderSource
from vfs.trees.items import Node, Problem

DEPTH = 700
NAME = "folder"


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A chain of DEPTH folders, each with a file before and one behind the next folder."""
    top = tmp_path / "deep"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for level in range(DEPTH):
        for name in ("before", "last"):
            file = os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=descriptor)
            os.write(file, b"%s %d" % (name.encode(), level))
            os.close(file)
        os.mkdir(NAME, dir_fd=descriptor)
        inner = os.open(NAME, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    yield top
    subprocess.run(["rm", "-r", top], check=True)


def test_a_deep_folder_comes_in(fs: FileSystem, deep: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + MOST_OPEN + 100, hard))
    try:
        report = vfs.import_tree(fs, deep, "/in")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not report.problems
    assert (report.figures.directories, report.figures.files) == (DEPTH + 1, 2 * DEPTH)
    ino = fs.resolve("/in").ino
    for level in range(DEPTH):
        for name in (b"before", b"last"):
            found = fs.find(ino, name)
            assert found is not None
            assert fs.read(found.ino, 0, 100) == b"%s %d" % (name, level)
        inner = fs.find(ino, NAME.encode())
        assert inner is not None
        ino = inner.ino


def test_a_deep_folder_that_is_moved_meanwhile(deep: Path) -> None:
    """What lies around it and was closed cannot be found again: told once for each, and the top goes on."""
    paths: list[bytes] = []
    problems: list[bytes] = []
    for item in FolderSource(deep):
        if isinstance(item, Node):
            paths.append(item.path)
            if item.path.count(NAME.encode()) == DEPTH:
                place = "/".join([NAME] * 40)
                os.rename(deep / place, deep / "moved")
        elif isinstance(item, Problem):
            problems.append(item.path)
    assert paths[-1] == b"last"
    assert problems == ["/".join([NAME] * level).encode() for level in range(39, 0, -1)]
