"""Lost ranges: an error where they are and nowhere else, whatever is done to the store."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from tests.cli.shell import vfs as command
from tests.losing import lose
from tests.packed_stores import make, noise, opened, text
from vfs import FileSystem
from vfs.errors import RangeLost, StoreError
from vfs.inode.extents import BlobRange, ChunkRange, Lost
from vfs.limits import SEGMENT_BYTES
from vfs.mount.errno_table import fuse_error
from vfs.printing import printable

SIZE = 60_000
AT, LENGTH = 20_000, 10_000
CONTENT = noise(1, SIZE)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "store")


@pytest.fixture
def fs(store: Path) -> Iterator[FileSystem]:
    with opened(store) as fs:
        fs.write_bytes("/file", CONTENT)
        lose(fs, fs.resolve("/file"), AT, LENGTH)
        yield fs
    report = vfs.check(store, data=True)
    assert report.clean, report.problems


def extents(fs: FileSystem, path: str = "/file") -> list[object]:
    inode = fs.resolve(path)
    return list(fs.table.file(inode).plan(0, inode.size))


def check_file(fs: FileSystem, path: str = "/file", shift: int = 0) -> None:
    """Whatever touches the lost range is refused, all else is what was written."""
    ino = fs.resolve(path).ino
    start, stop = shift + AT, shift + AT + LENGTH
    for read in (fs.read, lambda *args: fs.read_resident(*args) or fs.read(*args)):
        for offset, length in ((start, 1), (stop - 1, 1), (start - 1, 2), (stop - 1, 2), (0, 1 << 20)):
            with pytest.raises(RangeLost) as caught:
                read(ino, offset, length)
            assert (caught.value.ino, caught.value.offset, caught.value.length) == (ino, start, LENGTH)
    assert fs.read(ino, shift, AT) == CONTENT[:AT]
    assert fs.read(ino, stop, SIZE) == CONTENT[AT + LENGTH :]


def test_a_read_that_touches_it_is_refused(fs: FileSystem) -> None:
    check_file(fs)
    fs.checkpoint()
    check_file(fs)


def test_it_is_told_once(fs: FileSystem, caplog: pytest.LogCaptureFixture) -> None:
    ino = fs.resolve("/file").ino
    with caplog.at_level(logging.ERROR, "vfs"):
        for offset in range(AT, AT + LENGTH, 100):
            with pytest.raises(RangeLost) as caught:
                fs.read(ino, offset, 100)
            fuse_error(caught.value)
    told = (
        f"10000 bytes at 20000 of inode {ino} are lost; the rest of the file can be read; vfs fsck names it"
    )
    assert [record.message for record in caplog.records] == [f"{told}, writing it anew mends it"]


def test_it_counts_as_data(fs: FileSystem) -> None:
    inode = fs.resolve("/file")
    assert inode.allocated == SIZE
    assert fs.seek_data(inode.ino, AT) == AT
    assert fs.seek_hole(inode.ino, 0) == SIZE
    lose(fs, inode, 0, SIZE)
    fs.checkpoint()
    assert fs.sums().lost_bytes == fs.info()["lost_bytes"] == SIZE
    assert fs.seek_data(inode.ino, 0) == 0


def test_it_outlives_a_kill_and_a_clean_end(fs: FileSystem, store: Path) -> None:
    fs.checkpoint()
    lose(fs, fs.write_bytes("/logged", CONTENT), AT, LENGTH)
    fs._closed = True
    fs.store.close()
    for _ in range(2):
        with opened(store) as again:
            check_file(again)
            check_file(again, "/logged")


def test_what_replaces_it(fs: FileSystem, store: Path) -> None:
    inode = fs.resolve("/file")
    for number in range(4):
        fs.clone_range(inode.ino, 0, SIZE, fs.write_bytes(f"/copy{number}", b"").ino, 0)
    fs.checkpoint()
    fs.write(fs.resolve("/copy0").ino, AT, CONTENT[AT : AT + LENGTH])
    fs.punch(fs.resolve("/copy1").ino, AT, LENGTH)
    fs.truncate(fs.resolve("/copy2").ino, AT)
    fs.write(fs.resolve("/copy3").ino, AT + 10, CONTENT[AT + 10 : AT + LENGTH])
    assert fs.read_bytes("/copy0") == CONTENT
    assert fs.read_bytes("/copy1") == CONTENT[:AT] + bytes(LENGTH) + CONTENT[AT + LENGTH :]
    assert fs.read_bytes("/copy2") == CONTENT[:AT]
    fs.truncate(fs.resolve("/copy2").ino, SIZE)
    assert fs.read_bytes("/copy2") == CONTENT[:AT] + bytes(SIZE - AT)
    with pytest.raises(RangeLost):
        fs.read(fs.resolve("/copy3").ino, AT, 1)
    assert fs.read(fs.resolve("/copy3").ino, AT + 10, SIZE) == CONTENT[AT + 10 :]
    fs.checkpoint()
    assert fs.sums().lost_bytes == LENGTH + 10


def test_a_clone_has_it_too(fs: FileSystem) -> None:
    ino = fs.resolve("/file").ino
    fs.clone_range(ino, 0, SIZE, fs.write_bytes("/clone", b"x" * 77).ino, 77)
    fs.checkpoint()
    check_file(fs, "/clone", 77)


def test_ranges_that_touch_are_one(fs: FileSystem) -> None:
    inode = fs.resolve("/file")
    lose(fs, inode, AT + LENGTH, 5)
    lose(fs, inode, AT - 5, 5)
    assert extents(fs).count(Lost(LENGTH + 10)) == 1


def test_packing_packs_what_is_around_it(fs: FileSystem) -> None:
    fs.write_bytes("/other", text(1, 50_000))
    fs.flush()
    assert [type(extent) for extent in extents(fs)].count(Lost) == 1
    assert not any(isinstance(extent, ChunkRange) for extent in extents(fs))
    assert any(isinstance(extent, BlobRange) for extent in extents(fs))
    check_file(fs)
    inode = fs.resolve("/file")
    fs.write(inode.ino, AT + LENGTH, b"splinters beside it" * 20)
    fs.flush()
    lost = next(extent for extent in extents(fs) if isinstance(extent, Lost))
    assert lost == Lost(LENGTH)
    fs.write(inode.ino, AT + LENGTH, CONTENT[AT + LENGTH :])
    check_file(fs)


def test_collecting_leaves_it(fs: FileSystem, store: Path) -> None:
    fs.write_bytes("/other", text(1, 50_000))
    fs.flush()
    lose(fs, fs.resolve("/other"), 0, 50_000)
    fs.checkpoint()
    fs.collect()
    assert fs.sums().dead_bytes == 0
    check_file(fs)
    assert extents(fs, "/other") == [Lost(50_000)]


def test_an_export_says_that_the_file_cannot_be_read(fs: FileSystem, tmp_path: Path) -> None:
    fs.write_bytes("/whole", CONTENT)
    report = vfs.export_tree(fs, "/", tmp_path / "out")
    assert report.problem_count == 1
    assert report.problems == ["file: 10000 bytes at 20000 of it are lost"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["whole"]
    with pytest.raises(StoreError, match="10000 bytes at 20000 of it are lost"):
        vfs.export_tree(fs, "/", tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()


def test_fsck_lists_it_every_time_and_finds_nothing_wrong(fs: FileSystem, store: Path) -> None:
    end = fs.write_bytes("/end", noise(2, 1000))
    fs.truncate(end.ino, SEGMENT_BYTES + 1000)
    fs.write(end.ino, SEGMENT_BYTES - 100, noise(3, 1100))
    lose(fs, end, SEGMENT_BYTES - 100, 200)
    fs.close()
    for _ in range(2):
        report = vfs.check(store)
        assert report.clean
        assert [(lost.path, lost.offset, lost.length) for lost in report.lost] == [
            ("/end", SEGMENT_BYTES - 100, 200),
            ("/file", AT, LENGTH),
        ]
        assert (report.lost_count, report.lost_bytes) == (2, LENGTH + 200)
        assert report.notes == [f"{LENGTH + 200} bytes of files are lost, in 2 ranges"]
        assert report.files_damaged == []
    ran = command("fsck", store)
    assert ran.code == 0
    assert f"lost: /file: {LENGTH} bytes at {AT}" in ran.out.splitlines()
    assert command("fsck", "--json", store).document["lost"][1] == {
        "path": "/file",
        "offset": AT,
        "length": LENGTH,
    }


def test_fsck_knows_how_many_bytes_are_lost(fs: FileSystem, store: Path) -> None:
    fs.checkpoint()
    with fs.store.index.transaction() as transaction:
        transaction.add_meta({"lost_bytes": 1})
    found = vfs.checker.check_committed(fs)
    assert [problem.message for problem in found.problems] == [
        "lost_bytes is noted as 10001, extents have lost 10000"
    ]
    with fs.store.index.transaction() as transaction:
        transaction.add_meta({"lost_bytes": -1})


def test_the_path_of_an_inode(fs: FileSystem, store: Path) -> None:
    fs.make_directory("/a/b", parents=True)
    inode = fs.write_bytes("/a/b/c\nd", b"x")
    other = fs.write_bytes("/a/b/e", b"x")
    for _ in range(2):
        assert fs.path_of(inode.ino) == b"/a/b/c\nd"
        assert fs.path_of(1) == b""
        assert fs.path_of(999) is None
        fs.checkpoint()
        for directory in ("/", "/a", "/a/b"):
            found = fs.resolve(directory)
            fs.table.directory(found).forget_clean(())
    fs.move("/a/b/c\nd", "/a/f")
    assert fs.path_of(inode.ino) == b"/a/f"
    fs.checkpoint()
    fs.link(inode.ino, fs.resolve("/a/b").ino, b"g")
    fs.remove("/a/f")
    assert fs.path_of(inode.ino) in (None, b"/a/b/g"), "the name that it was found by is gone"
    assert fs.path_of(other.ino) == b"/a/b/e"
    assert printable(b"/a/c\nd\xff\x1b\xc3\xa4") == "/a/c\\nd\\xff\\x1bä"
