"""Imports of more than one batch, and what is there when one ends early: whole files or none."""

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from tests.trees.material import describe
from vfs.errors import IndexUnwritten, NoSpace, StoreError, StoreFailed
from vfs.trees import importer, walk
from vfs.trees.exporter import Export
from vfs.trees.folder_source import FolderSource
from vfs.trees.importer import Import, import_from
from vfs.trees.items import FileEnd, Item, Node
from vfs.trees.planter import Planter
from vfs.trees.report import Report
from vfs.trees.transfer import open_target


def noise(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(b"%d" % seed).digest(size)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "PASS_BYTES", 300_000)
    monkeypatch.setattr(importer, "BATCH_ENTRIES", 7)
    monkeypatch.setattr(importer, "BATCH_EXTENTS", 30)
    monkeypatch.setattr(walk, "BATCH_BYTES", 200_000)
    monkeypatch.setattr(walk, "BATCH_ENTRIES", 5)
    monkeypatch.setattr(walk, "SLICE_ENTRIES", 3)


@pytest.mark.usefixtures("small_batches")
def test_many_batches(fs: vfs.FileSystem, everything: Path, tmp_path: Path) -> None:
    for number in range(20):
        (everything / f"many{number}").write_bytes(noise(60_000, number))
    (everything / "long").write_bytes(noise(5_000_000) + bytes(3_000_000) + noise(2_000_000, 1))
    before = describe(everything, holes=False)
    assert vfs.import_tree(fs, everything).problems == []
    fs.checkpoint()
    assert vfs.export_tree(fs, "/", tmp_path / "out").problems == []
    assert describe(tmp_path / "out", holes=False) == before
    vfs.export_tree(fs, "/", tmp_path / "out.tar")
    assert vfs.import_tree(fs, tmp_path / "out.tar", "/again").problems == []
    vfs.export_tree(fs, "/again", tmp_path / "again")
    assert describe(tmp_path / "again", holes=False) == before


@pytest.mark.usefixtures("small_batches")
def test_a_long_file_replaces_at_its_end(fs: vfs.FileSystem, tmp_path: Path) -> None:
    top = tmp_path / "in"
    top.mkdir()
    (top / "long").write_bytes(noise(6_000_000))
    fs.write_bytes("/long", b"before")
    source = FolderSource(top)
    report = Report(source)
    planter = Planter(fs, b"/", report, in_order=True)
    work = Import(fs, source, report)
    seen = []
    while (batch := work.next_batch()) is not None:
        for _ in planter.plant(batch.plans):
            pass
        fs.checkpoint()
        seen.append(fs.read_bytes("/long"))
    work.close()
    assert len(seen) > 3
    assert set(seen[:-1]) == {b"before"}
    assert seen[-1] == noise(6_000_000)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_crash_in_the_middle(tmp_path: Path, *, checkpoint: bool) -> None:
    top, store = tmp_path / "in", tmp_path / "store"
    top.mkdir()
    for number in range(5):
        (top / f"a{number}").write_bytes(noise(100_000, number))
    (top / "long").write_bytes(noise(6_000_000))
    vfs.mkfs(store)
    fs = vfs.open(store)
    source = FolderSource(top)
    report = Report(source)
    planter = Planter(fs, b"/", report, in_order=True)
    work = Import(fs, source, report)
    for _ in range(4):
        batch = work.next_batch()
        assert batch is not None
        for _ in planter.plant(batch.plans):
            pass
    if checkpoint:
        fs.checkpoint()
    work.next_batch()  # its pack is there, its names are not
    fs.log.sync()
    work.close()
    fs.store.close()  # as a crash leaves it
    with vfs.open(store) as fs:
        names = fs.listdir("/")
        assert names
        assert b"long" not in names
        for name in names:
            assert fs.read_bytes(b"/" + name) == (top / name.decode()).read_bytes()
        assert fs.info()["files"] == len(names)
        assert fs.info()["logical_bytes"] == 100_000 * len(names)
        assert vfs.import_tree(fs, top).problems == [], "and again, to the end"
        assert fs.read_bytes("/long") == noise(6_000_000)
    assert vfs.check(store).clean


def test_an_interruption_says_how_far(fs: vfs.FileSystem, tmp_path: Path) -> None:
    told: list[str] = []

    class Interrupted:
        in_order = True
        done_bytes = total_bytes = 0

        def __iter__(self) -> Iterator[Item]:
            yield Node(b"first", 0o100644, size=3)
            yield b"one"
            yield FileEnd()
            yield Node(b"second", 0o100644, size=3)
            yield b"tw"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_from(fs, Interrupted(), b"/", lambda done, total, text: told.append(text))
    assert fs.listdir("/") == []
    assert fs.backlog_bytes == 0


def test_a_source_that_hangs_holds_up_nobody(fs: vfs.FileSystem) -> None:
    hanging = threading.Event()

    class Hanging:
        in_order = True
        done_bytes = total_bytes = 0

        def __iter__(self) -> Iterator[Item]:
            hanging.wait(30)
            yield Node(b"late", 0o100644)

    work = Import(fs, Hanging(), Report(Hanging()))
    timer = threading.Timer(0.3, lambda: setattr(work, "cancelled", True))
    timer.start()
    with pytest.raises(vfs.errors.VfsError, match="interrupted"):
        work.next_batch()
    work.close()
    hanging.set()


def test_a_file_that_shrinks_is_left_out(fs: vfs.FileSystem, tmp_path: Path) -> None:
    top = tmp_path / "in"
    top.mkdir()
    (top / "a").write_bytes(b"fine")
    (top / "log").write_bytes(noise(3 << 20))

    class Shrinking(FolderSource):
        def _data(self, opened: int, start: int, stop: int) -> Iterator[bytes]:
            for data in super()._data(opened, start, stop):
                yield data
                if stop > 1 << 20:
                    os.truncate(top / "log", 1 << 20)

    report = import_from(fs, Shrinking(top))
    assert report.problems == ["log: became shorter while it was being read"]
    assert fs.listdir("/") == [b"a"]


def test_damage_in_the_store(fs: vfs.FileSystem, tmp_path: Path) -> None:
    top = tmp_path / "in"
    top.mkdir()
    (top / "a").write_bytes(noise(400_000))
    vfs.import_tree(fs, top)
    (pack,) = (path for path in (tmp_path / "store" / "packs").iterdir())
    data = bytearray(pack.read_bytes())
    data[200_000] ^= 1
    pack.write_bytes(bytes(data))
    fs.write_bytes("/b", b"fine")
    report = vfs.export_tree(fs, "/", tmp_path / "out")
    assert len(report.problems) == 1
    assert report.problems[0].startswith("a: damaged data in pack")
    assert os.listdir(tmp_path / "out") == ["b"]
    with pytest.raises(vfs.errors.StoreError, match="export to a folder to get all else"):
        vfs.export_tree(fs, "/", io.BytesIO())
    data[200_000] ^= 1
    pack.write_bytes(bytes(data))


def test_no_room_in_the_store(fs: vfs.FileSystem, everything: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vfs.backing.pack_session.PackSession.seal", full)
    with pytest.raises(NoSpace):
        vfs.import_tree(fs, everything)
    monkeypatch.undo()
    assert fs.listdir("/") == []
    assert vfs.import_tree(fs, everything).problems == []


def test_a_store_that_fails_ends_the_import(tmp_path: Path, everything: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        fs.log.poison(StoreFailed("as a test"))
        with pytest.raises(vfs.errors.ReadOnly):
            vfs.import_tree(fs, everything)


def test_large_attributes_come_as_a_whole(fs: vfs.FileSystem) -> None:
    large = {b"user.%02d" % number: noise(60_000, number) for number in range(15)}

    class Large:
        in_order = True
        done_bytes = total_bytes = 0

        def __iter__(self) -> Iterator[Item]:
            yield Node(b"file", 0o104755, 1, 2, 3, 4, 5, xattrs=large)
            yield b"bytes"
            yield FileEnd()
            yield Node(b"link", 0o120777, 1, 2, 3, 4, target=b"aim", xattrs={b"trusted.x": noise(60_000)})

    assert import_from(fs, Large()).problem_count == 0
    inode = fs.resolve("/file")
    assert {name: fs.get_xattr(inode.ino, name) for name in fs.list_xattrs(inode.ino)} == large
    assert (inode.mode, inode.uid, inode.gid, inode.mtime_ns, inode.nlink) == (0o104755, 1, 2, 3, 1)
    assert fs.read_bytes("/file") == b"bytes"
    assert fs.list_xattrs(fs.resolve("/link", follow=False).ino) == [b"trusted.x"]


def test_a_file_of_many_extents(fs: vfs.FileSystem, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with open(tmp_path / "in" / "comb", "wb") as file:
        for number in range(15_000):
            file.seek(number * 8192)
            file.write(b"%d" % number)
    before = (tmp_path / "in" / "comb").read_bytes()
    assert vfs.import_tree(fs, tmp_path / "in").problems == []
    inode = fs.resolve("/comb")
    assert inode.allocated <= 15_000 * 4096
    for at in range(0, len(before), 1 << 20):
        assert fs.read(inode.ino, at, 1 << 20) == before[at : at + (1 << 20)]


@pytest.mark.usefixtures("small_batches")
def test_a_walk_that_is_ended_inside_of_a_file_holds_nothing(fs: vfs.FileSystem) -> None:
    """At once, in the thread that ends it, whoever else still knows of the walk."""
    inode = fs.write_bytes("/large", noise(500_000))
    ended = walk.Walk(fs, b"/", Report(FolderSource(Path("/"), [])))
    batches = ended.batches()
    assert next(batches) is not None
    assert inode.opens == 1
    ended.close()
    assert inode.opens == 0
    assert next(batches, None) is None


def test_an_export_that_is_ended_waits_for_no_reader(fs: vfs.FileSystem, tmp_path: Path) -> None:
    fs.write_bytes("/large", noise(500_000))
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    report = Report(FolderSource(tmp_path))
    ended = walk.Walk(fs, b"/", report)
    work = Export(fs, open_target(tmp_path / "pipe", [], report), report)
    (batch,) = ended.batches()
    assert batch is not None
    failed: list[BaseException] = []

    def write() -> None:
        try:
            work.write(batch)
            work.finish()
        except StoreError as error:
            failed.append(error)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "nobody reads"
    work.cancelled = True
    thread.join(60)
    assert not thread.is_alive()
    assert "interrupted" in str(failed[0])
    work.close()
    ended.close()
    os.close(reader)


@pytest.mark.usefixtures("small_batches")
def test_a_checkpoint_that_fails_ends_no_import(
    fs: vfs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked for it, and it can be taken later."""
    (tmp_path / "many").mkdir()
    for number in range(30):
        (tmp_path / "many" / f"{number}").write_bytes(b"%d" % number)
    fs.make_directory("/in")
    failed = 0

    def fail() -> None:
        nonlocal failed
        failed += 1
        raise IndexUnwritten("EIO")

    def wanted(done: int, total: int, what: str) -> None:
        fs.memory_wants_checkpoint = True

    with monkeypatch.context() as patch:
        patch.setattr(fs, "commit_checkpoint", fail)
        assert import_from(fs, FolderSource(tmp_path / "many"), "/in", wanted).figures.files == 30
    assert failed == 1, "and then it is put off"
    assert len(fs.listdir("/in")) == 30
