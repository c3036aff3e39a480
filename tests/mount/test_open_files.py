"""Which files may have pages on their way, and the names under which they are reached meanwhile."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from pyfuse3 import RequestContext

import vfs
from vfs.errors import Stale
from vfs.limits import ROOT_INO
from vfs.mount.adapter import Adapter
from vfs.mount.nodes import NodeIds
from vfs.mount.open_files import OpenFiles
from vfs.mount.options import MountOptions

ME = os.geteuid()


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def files(fs: vfs.FileSystem) -> OpenFiles:
    return OpenFiles(fs, NodeIds(fs))


def opened(fs: vfs.FileSystem, files: OpenFiles, path: str, flags: int) -> int:
    ino = fs.write_bytes(path, b"content").ino
    fs.open(ino, flags)
    files.opened(ino, flags)
    return ino


def closed(fs: vfs.FileSystem, files: OpenFiles, ino: int) -> None:
    fs.release(ino)
    files.closed(ino)


def reached(files: OpenFiles) -> set[int]:
    with files.reachable() as names:
        found = [files.find(ROOT_INO, name.encode(), ME) for name in names]
        return {inode.ino for inode in found if inode is not None}


def test_those_that_somebody_may_write_to(fs: vfs.FileSystem, files: OpenFiles) -> None:
    opened(fs, files, "/read", os.O_RDONLY)
    one, two = opened(fs, files, "/one", os.O_WRONLY), opened(fs, files, "/two", os.O_RDWR)
    unlinked = opened(fs, files, "/unlinked", os.O_RDWR)
    fs.remove("/unlinked")
    fs.open(two)  # a second handle
    assert reached(files) == {one, two}
    for ino in (one, two, unlinked):
        closed(fs, files, ino)
    assert reached(files) == {two}
    closed(fs, files, two)
    assert reached(files) == set()


def test_the_names_are_for_ourselves_and_for_now(fs: vfs.FileSystem, files: OpenFiles) -> None:
    fs.make_directory("/folder")
    ino = opened(fs, files, "/folder/file", os.O_RDWR)
    with files.reachable() as [name]:
        assert files.find(ROOT_INO, name.encode(), ME + 1) is None
        assert files.find(fs.resolve("/folder").ino, name.encode(), ME) is None
        assert files.find(ROOT_INO, b"other", ME) is None
        # Whoever closes and removes it meanwhile takes it from nobody who was told of it.
        closed(fs, files, ino)
        fs.remove("/folder/file")
        inode = files.find(ROOT_INO, name.encode(), ME)
        assert inode is not None
        assert (inode.ino, inode.nlink) == (ino, 0)
    assert files.find(ROOT_INO, name.encode(), ME) is None
    assert fs.table.in_memory(ino) is None
    assert reached(files) == set()


def test_what_a_rollback_has_changed_is_written_to_no_more(fs: vfs.FileSystem) -> None:
    nodes = NodeIds(fs)
    files = OpenFiles(fs, nodes)
    fs.create_snapshot("before")
    ino = opened(fs, files, "/new", os.O_RDWR)
    fs.table.get(ino).lookups += 1
    with files.reachable() as [name]:
        nodes.follow(fs.rollback("before"))
        with pytest.raises(Stale):
            files.find(ROOT_INO, name.encode(), ME)
    assert reached(files) == set()
    nodes.release(ino)
    files.closed(ino)
    nodes.forget(ino, 1)
    assert not nodes.renumbered


async def test_a_name_is_asked_for_each_time_by_whomever_it_is_shown_to(
    fs: vfs.FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger who asks first would otherwise have the kernel keep for a day that there is no such file."""
    adapter = Adapter(fs, MountOptions.parse((), read_only=False))
    opened(fs, adapter.open_files, "/file", os.O_RDWR)
    caller = SimpleNamespace(uid=ME + 1)
    with adapter.open_files.reachable() as [name]:
        kept = await adapter.lookup(ROOT_INO, name.encode(), cast("RequestContext", caller))
        assert (kept.st_ino, kept.entry_timeout) == (0, 0)
        caller.uid = ME
        found = await adapter.lookup(ROOT_INO, name.encode(), cast("RequestContext", caller))
        assert found.st_ino
        assert found.entry_timeout == 0
