"""Clones that are removed as ordinary folders while somebody holds their root."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from vfs.checker import check_committed
from vfs.filesystem import FileSystem


@pytest.fixture
def fs(store: Path) -> Iterator[FileSystem]:
    """A store whose snapshot `then` has a folder with a file."""
    with vfs.open(store) as opened:
        opened.autopilot = False
        opened.make_directory("folder")
        opened.write_bytes("folder/file", b"content")
        opened.create_snapshot("then")
        yield opened


def clone_and_hold(fs: FileSystem, source: str) -> int:
    root = fs.clone(source, 1, b"clone").ino
    fs.open(root)
    return root


def assert_clean(fs: FileSystem, store: Path) -> None:
    fs.checkpoint()
    fs.close()
    assert vfs.check(store).problems == []


def test_of_a_folder(fs: FileSystem, store: Path) -> None:
    """The rows around that folder can be seen in the clone, with the name that it has there."""
    root = clone_and_hold(fs, "then:folder")
    fs.unlink(root, b"file")
    fs.rmdir(1, b"clone")
    fs.checkpoint()
    assert check_committed(fs).problems == []
    fs.release(root)
    assert_clean(fs, store)


def test_a_rollback_brings_it_back(fs: FileSystem, store: Path) -> None:
    """What it was between, without a name, is in no snapshot: its rows go."""
    root = clone_and_hold(fs, "then")
    kept = fs.rollback("then").kept_as
    fs.rollback(kept)
    fs.open(root)
    fs.unlink(fs.lookup(root, b"folder").ino, b"file")
    fs.rmdir(root, b"folder")
    fs.rmdir(1, b"clone")
    fs.checkpoint()
    stale = fs.rollback(kept).stale
    assert [(held.number, held.exists, held.nameless) for held in stale] == [(root, True, True)]
    assert fs.read_bytes("clone/folder/file") == b"content"
    assert_clean(fs, store)
