"""What is there already when a tree comes: folders are merged, files replaced, the rest is told."""

import os
from pathlib import Path

import pytest

import vfs
from vfs.errors import NoEntry, NotADirectory, ReadOnly


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "folder").mkdir(parents=True)
    (top / "folder" / "file").write_bytes(b"new")
    (top / "clash").write_bytes(b"file")
    (top / "clash2").mkdir()
    (top / "clash2" / "inner").write_bytes(b"x")
    os.symlink("aim", top / "link")
    os.chmod(top / "folder", 0o701)
    return top


def test_into_what_is_there(fs: vfs.FileSystem, tree: Path) -> None:
    fs.make_directory("/folder")
    fs.write_bytes("/folder/file", b"old and longer")
    fs.write_bytes("/folder/other", b"stays")
    fs.write_bytes("/link", b"a file before")
    old = fs.open(fs.resolve("/folder/file").ino)
    report = vfs.import_tree(fs, tree)
    assert report.problems == []
    assert fs.read_bytes("/folder/file") == b"new"
    assert fs.read_bytes("/folder/other") == b"stays"
    assert fs.readlink(fs.resolve("/link", follow=False).ino) == b"aim"
    assert fs.resolve("/folder").mode & 0o777 == 0o701
    assert fs.read(old.ino, 0, 100) == b"old and longer", "who has it open keeps it"
    fs.release(old.ino)


def test_what_cannot_be_replaced(fs: vfs.FileSystem, tree: Path) -> None:
    fs.make_directory("/clash")
    fs.write_bytes("/clash2", b"file")
    report = vfs.import_tree(fs, tree)
    assert report.problems == [
        "clash: a folder has that name",
        "clash2: something that is no folder has that name",
        "clash2/inner: what it lies in is no folder",
    ]
    assert fs.read_bytes("/clash2") == b"file"
    assert fs.read_bytes("/folder/file") == b"new"


def test_a_destination_that_is_a_file(fs: vfs.FileSystem, tree: Path) -> None:
    fs.write_bytes("/file", b"")
    with pytest.raises(NotADirectory, match="/file in the file system is no folder"):
        vfs.import_tree(fs, tree, "/file")


def test_a_destination_behind_a_link(fs: vfs.FileSystem, tree: Path) -> None:
    fs.make_directory("/real")
    fs.symlink(1, b"way", b"real")
    vfs.import_tree(fs, tree / "folder", "/way")
    assert fs.read_bytes("/real/file") == b"new"


def test_a_read_only_store(tmp_path: Path, tree: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store", read_only=True) as fs:
        with pytest.raises(ReadOnly):
            vfs.import_tree(fs, tree)
        vfs.export_tree(fs, "/", tmp_path / "out")


def test_out_to_what_is_there(fs: vfs.FileSystem, tree: Path, tmp_path: Path) -> None:
    vfs.import_tree(fs, tree)
    out = tmp_path / "out"
    (out / "folder").mkdir(parents=True)
    (out / "folder" / "file").write_bytes(b"old and longer")
    (out / "folder" / "other").write_bytes(b"stays")
    (out / "clash").mkdir()
    (out / "clash2").write_bytes(b"file")
    (out / "link").write_bytes(b"before")
    inode = os.stat(out / "folder" / "file").st_ino
    report = vfs.export_tree(fs, "/", out)
    assert report.problems == [
        "clash: a folder has that name",
        "clash2: something that is no folder has that name",
    ]
    assert (out / "folder" / "file").read_bytes() == b"new"
    assert os.stat(out / "folder" / "file").st_ino != inode, "a whole file took its place"
    assert (out / "folder" / "other").read_bytes() == b"stays"
    assert os.readlink(out / "link") == "aim"
    assert (out / "clash2").read_bytes() == b"file"
    assert sorted(os.listdir(out / "folder")) == ["file", "other"]


def test_out_through_no_link(fs: vfs.FileSystem, tree: Path, tmp_path: Path) -> None:
    vfs.import_tree(fs, tree)
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (outside / "aim").write_bytes(b"as it was")
    os.symlink(outside, out / "folder")
    os.symlink(outside / "aim", out / "clash")
    report = vfs.export_tree(fs, "/", out)
    assert report.problems == ["folder: something that is no folder has that name"]
    assert os.listdir(outside) == ["aim"]
    assert (outside / "aim").read_bytes() == b"as it was"
    assert (out / "clash").read_bytes() == b"file"
    assert not (out / "clash").is_symlink()


def test_a_path_through_a_file_is_named(fs: vfs.FileSystem, tree: Path, tmp_path: Path) -> None:
    fs.write_bytes("/file", b"")
    with pytest.raises(NotADirectory, match="no /file/below in the file system"):
        vfs.export_tree(fs, "/file/below", tmp_path / "out.tar")
    with pytest.raises(NotADirectory, match=r"^/file/below in the file system is no folder"):
        vfs.import_tree(fs, tree, "/file/below")


def test_an_archive_replaces_one_only_when_it_is_whole(
    fs: vfs.FileSystem, tree: Path, tmp_path: Path
) -> None:
    vfs.import_tree(fs, tree)
    (tmp_path / "out.tar").write_bytes(b"before")
    with pytest.raises(NoEntry, match="no /missing in the file system"):
        vfs.export_tree(fs, "/missing", tmp_path / "out.tar")
    assert (tmp_path / "out.tar").read_bytes() == b"before"
    vfs.export_tree(fs, "/", tmp_path / "out.tar")
    assert (tmp_path / "out.tar").stat().st_size > 4096
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tar", "store", "tree"]
