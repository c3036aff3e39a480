"""Passes that meet damage, a full disk or an end: nothing is lost, and nothing else is kept from packing."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import vfs
from tests.packing.stores import begun, flat, killed, noise, opened, rows_of
from vfs import FileSystem
from vfs.backing.chunks import chunk_name
from vfs.backing.orphans import remove_orphans
from vfs.backing.places import THERE
from vfs.backing.storage import Space
from vfs.backlog import COOL_SECONDS
from vfs.errors import ChunkDamaged, IndexUnwritten, NoSpace, ReadOnly, StoreFailed
from vfs.inode.extents import ChunkRange
from vfs.limits import MIB


def damage(fs: FileSystem, store: Path, path: str) -> None:
    """Flip a byte of the file's data in the log."""
    extent = flat(rows_of(fs, path))[0]
    assert isinstance(extent, ChunkRange)
    with open(store / chunk_name(extent.chunk), "r+b") as file:
        file.seek(extent.start + extent.length // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes((byte[0] ^ 1,)))


def test_damaged_data_is_told_once_and_keeps_nothing_else_from_being_packed(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(store) as fs:
        fs.write_bytes("/bad", noise(300_000))
        fs.write_bytes("/good", noise(300_000, 1))
        fs.checkpoint()
        damage(fs, store, "/bad")
    with opened(store) as fs, caplog.at_level(logging.ERROR, "vfs"):
        assert fs.flush() == 300_000
        assert fs.flush() == 0
        assert len(caplog.records) == 1
        assert "is not packed" in caplog.text
        assert not fs.pack_due
        assert fs.read_bytes("/good") == noise(300_000, 1)
        with pytest.raises(ChunkDamaged):
            fs.read_bytes("/bad")
        fs.write_bytes("/bad", noise(300_000, 2))
        assert fs.flush() == 300_000
        assert fs.read_bytes("/bad") == noise(300_000, 2)


def test_a_row_with_some_damage_is_packed_but_for_that(store: Path) -> None:
    with opened(store) as fs:
        ino = fs.write_bytes("/file", b"").ino
        for number in range(4):
            fs.write(ino, number * MIB, noise(MIB, number))
        fs.checkpoint()
        extent = flat(rows_of(fs, "/file"))[2]
        assert isinstance(extent, ChunkRange)
    with open(store / chunk_name(extent.chunk), "r+b") as file:
        file.seek(extent.start + 5)
        file.write(b"\xff\x00\xff")
    with opened(store) as fs:
        assert fs.flush() == 3 * MIB
        kept = [each for each in flat(rows_of(fs, "/file")) if isinstance(each, ChunkRange)]
        assert kept == [extent]
        assert bytes(fs.read(ino, 3 * MIB, MIB)) == noise(MIB, 3)
        assert fs.flush() == 0


@pytest.mark.parametrize("step", ["run", "commit"])
def test_a_full_disk_puts_a_pass_off(
    fs: FileSystem, store: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.write_bytes("/file", noise(300_000))
    fs.checkpoint()

    def full(*arguments: object) -> None:
        raise NoSpace("full")

    target = "pack_session.PackSession.seal" if step == "run" else "packed.PackedTransaction.put_pack"
    with monkeypatch.context() as patch:
        patch.setattr(f"vfs.backing.{target}", full)
        with pytest.raises(NoSpace):
            fs.pack(everything=True)
    assert os.listdir(store / "packs") == []
    assert fs.store.rows.packs() == []
    assert not fs.pack_due
    assert fs.read_bytes("/file") == noise(300_000)
    fs.checkpoint()
    assert fs.pack(everything=True) == 300_000
    assert fs.read_bytes("/file") == noise(300_000)


def test_a_disk_too_full_for_packing_holds_up_no_write_that_fails(
    fs: FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.write_bytes("/file", noise(3 * MIB))
    fs.checkpoint()
    with monkeypatch.context() as patch:
        patch.setattr(fs.store.storage, "space", lambda: Space(1 << 30, 0, 1000, 1000))
        with pytest.raises(NoSpace, match="kept for deletes"):
            fs.pack(everything=True)
        fs.short_of_room = True  # as a write that failed has left it
        assert fs.write_delay_seconds(MIB) == 0
    assert fs.pack(everything=True) == 3 * MIB


def test_a_pass_that_a_disk_that_is_full_meanwhile_ended_is_not_put_off_for_long(
    fs: FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each delete may make the room that was missing, and the next pass give it to programs."""
    fs.write_bytes("/file", noise(3 * MIB))
    fs.checkpoint()
    work = begun(fs)
    space = Space(1 << 30, 0, 1000, 1000)
    with monkeypatch.context() as patch:
        patch.setattr(fs.store.storage, "space", lambda: space)
        with pytest.raises(NoSpace):
            fs.write_bytes("/more", noise(3 * MIB))
    fs.abandon_pack(work)
    monkeypatch.setattr("vfs.packing.monotonic", lambda: time.monotonic() + COOL_SECONDS)
    assert fs.pack_due


def test_what_an_unfinished_pass_left_is_removed(store: Path) -> None:
    fs = opened(store)
    fs.write_bytes("/kept", noise(100_000, 1))
    fs.flush()
    fs.write_bytes("/file", noise(300_000))
    fs.checkpoint()
    begun(fs)
    assert len(os.listdir(store / "packs")) == 2
    fs = killed(fs, store)
    assert len(os.listdir(store / "packs")) == 1
    assert [row.state for row in fs.store.rows.packs()] == [THERE]
    assert fs.read_bytes("/kept") == noise(100_000, 1)
    assert fs.read_bytes("/file") == noise(300_000)
    fs.close()


def test_a_cancelled_pass_leaves_nothing(fs: FileSystem, store: Path) -> None:
    fs.write_bytes("/file", noise(300_000))
    fs.checkpoint()
    work = fs.begin_pack(everything=True)
    work.cancelled = True
    assert not fs.run_pack(work)
    fs.abandon_pack(work)
    fs.abandon_pack(work)
    assert os.listdir(store / "packs") == []


def test_a_read_only_store_is_not_packed(store: Path) -> None:
    with opened(store) as fs:
        fs.write_bytes("/file", noise(300_000))
    with vfs.open(store, read_only=True) as fs:
        assert not fs.pack_due
        for call in (fs.pack, fs.flush, fs.begin_pack):
            with pytest.raises(ReadOnly):
                call()
        assert fs.read_bytes("/file") == noise(300_000)


def test_a_store_that_has_failed_takes_no_pass(store: Path) -> None:
    fs = opened(store)
    fs.write_bytes("/file", noise(300_000))
    fs.checkpoint()
    work = begun(fs)
    fs.log.poison(StoreFailed("a disk that fails"))
    with pytest.raises(StoreFailed):
        fs.commit_pack(work)
    fs.abandon_pack(work)
    assert not fs.pack_due
    with pytest.raises(ReadOnly):
        fs.begin_pack()
    assert fs.read_bytes("/file") == noise(300_000)
    fs.close()
    assert os.listdir(store / "packs") == []
    assert vfs.check(store).clean


def test_a_pass_is_due_when_room_gets_short(fs: FileSystem) -> None:
    fs.write_bytes("/file", noise(300_000))
    fs.checkpoint()
    due = [fs.pack_due]
    fs.short_of_room = True
    due.append(fs.pack_due)
    fs.pack()
    assert [*due, fs.pack_due] == [False, True, False]


def test_closing_gives_up_a_pass(store: Path) -> None:
    fs = opened(store)
    fs.write_bytes("/file", noise(300_000))
    fs.checkpoint()
    begun(fs)
    fs.close()
    assert os.listdir(store / "packs") == []
    with opened(store) as fs:
        assert fs.replayed_records == 0
        work = begun(fs)
        fs.commit_pack(work)
    with opened(store) as fs:
        assert fs.backlog_bytes == 0
        assert fs.read_bytes("/file") == noise(300_000)


def refusing(fs: FileSystem, monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    """No transaction of the index succeeds from now on."""

    @contextmanager
    def refuse() -> Iterator[None]:
        if error is not None:
            raise error
        yield

    monkeypatch.setattr(fs.store.index, "transaction", refuse)


@pytest.mark.parametrize("error", [NoSpace("full"), IndexUnwritten("EIO")])
def test_a_pack_for_which_the_index_has_no_room_gives_its_room_back(
    fs: FileSystem, store: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, although no transaction succeeds there; where a failed one could come back it stays."""
    fs.write_bytes("/file", noise(300_000))
    fs.checkpoint()
    work = begun(fs)
    assert len(list((store / "packs").iterdir())) == 1
    with monkeypatch.context() as patch:
        refusing(fs, patch, error)
        with pytest.raises(type(error)):
            fs.commit_pack(work)
        fs.abandon_pack(work)
        assert len(list((store / "packs").iterdir())) == (0 if isinstance(error, NoSpace) else 1)
    fs.flush()
    assert fs.read_bytes("/file") == noise(300_000)


def test_a_pack_that_was_cut_off_gives_its_room_back_on_a_full_disk(
    fs: FileSystem, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.store.rows.begin_pack(1, 1)
    (store / "packs" / "new-1").write_bytes(b"cut off")
    with monkeypatch.context() as patch:
        refusing(fs, patch, NoSpace("full"))
        with pytest.raises(NoSpace):
            remove_orphans(fs.store.storage, fs.store.rows)
    assert list((store / "packs").iterdir()) == []
    remove_orphans(fs.store.storage, fs.store.rows)
    assert fs.store.rows.packs() == []
