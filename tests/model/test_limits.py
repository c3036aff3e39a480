"""What the model cannot reach by drawing: the largest file, the most links, the longest list of attributes.

Each limit is held exactly: what is just within it works and is there after a kill, what passes it is refused
and changes nothing.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs.namespace
from tests.model.world import assert_clean
from vfs.checker import check
from vfs.errors import AttributeTooLarge, FileTooLarge, NameTooLong, TooManyLinks
from vfs.filesystem import FileSystem, mkfs, open_filesystem
from vfs.limits import FILE_BYTES, NAME_BYTES, ROOT_INO, SEGMENT_BYTES, XATTR_LIST_BYTES


@pytest.fixture
def store(tmp_path: Path) -> Path:
    mkfs(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def fs(store: Path) -> Iterator[FileSystem]:
    with open_filesystem(store) as fs:
        yield fs


def killed(fs: FileSystem, store: Path) -> FileSystem:
    """The store as it is after the process was killed."""
    fs._closed = True
    fs.store.close()
    assert_clean(check(store))
    return open_filesystem(store)


def test_the_last_bytes_of_the_largest_file(fs: FileSystem, store: Path) -> None:
    ino = fs.write_bytes("/a", b"start").ino
    for call in (
        lambda: fs.write(ino, FILE_BYTES - 2, b"end"),
        lambda: fs.truncate(ino, FILE_BYTES + 1),
        lambda: fs.allocate(ino, FILE_BYTES - 2, 3),
        lambda: fs.clone_range(ino, 0, 5, ino, FILE_BYTES - 4),
    ):
        with pytest.raises(FileTooLarge):
            call()
    assert fs.get(ino).size == 5
    fs.write(ino, FILE_BYTES - 3, b"end")
    assert fs.get(ino).size == FILE_BYTES
    with killed(fs, store) as again:
        assert again.read(ino, FILE_BYTES - 4, 10) == b"\0end"
        assert again.seek_data(ino, 5) == FILE_BYTES - 3
        assert again.seek_hole(ino, 0) == 5
        assert again.get(ino).allocated == 8
        again.checkpoint()
        again.punch(ino, 0, FILE_BYTES)
        assert again.seek_data(ino, 0) is None
        again.truncate(ino, SEGMENT_BYTES)
        assert again.info()["logical_bytes"] == SEGMENT_BYTES
    assert_clean(check(store))


def test_the_most_links(fs: FileSystem, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vfs.namespace, "LINKS", 3)
    ino = fs.write_bytes("/a", b"").ino
    fs.link(ino, ROOT_INO, b"b")
    fs.link(ino, ROOT_INO, b"c")
    with pytest.raises(TooManyLinks):
        fs.link(ino, ROOT_INO, b"d")
    for number in range(5):
        fs.make_directory(f"/directory {number}")  # its `..` is no hard link of the limited kind
    with killed(fs, store) as again:
        assert again.get(ino).nlink == 3
        assert again.get(ROOT_INO).nlink == 7
        again.remove("/b")
        again.link(ino, ROOT_INO, b"d")


def test_the_longest_list_of_attributes(fs: FileSystem, store: Path) -> None:
    ino = fs.write_bytes("/a", b"").ino
    names = [b"user.%0250d" % number for number in range(XATTR_LIST_BYTES // 256)]
    for name in names:
        fs.set_xattr(ino, name, name[-9:])
    with pytest.raises(AttributeTooLarge):
        fs.set_xattr(ino, b"user.one-more", b"")
    fs.set_xattr(ino, names[0], b"replaced")
    with killed(fs, store) as again:
        assert again.list_xattrs(ino) == names
        assert again.get_xattr(ino, names[0]) == b"replaced"


def test_the_longest_name(fs: FileSystem, store: Path) -> None:
    longest = b"\xff" * NAME_BYTES
    ino = fs.mkdir(ROOT_INO, longest, 0o755).ino
    for call in (
        lambda: fs.mkdir(ROOT_INO, longest + b"x", 0o755),
        lambda: fs.rename(ROOT_INO, longest, ROOT_INO, longest + b"x"),
        lambda: fs.lookup(ROOT_INO, longest + b"x"),
    ):
        with pytest.raises(NameTooLong):
            call()
    with killed(fs, store) as again:
        assert again.lookup(ROOT_INO, longest).ino == ino
