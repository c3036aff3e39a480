"""What every storage must do alike, and how the real one keeps inside its folder."""

import errno
import os
import stat
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import apsw
import pytest

from tests.simulated.disk import SimulatedStorage
from vfs.backing.storage import DirectoryStorage, Storage, StorageFile
from vfs.errors import NotAStore, StoreNotFound, StoreUnreadable


@pytest.fixture(params=["directory", "simulated"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return DirectoryStorage(tmp_path) if request.param == "directory" else SimulatedStorage()


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path)


def put(storage: Storage, name: str, content: bytes) -> None:
    file = storage.create(name)
    file.append((content,))
    file.close()


# --- every storage --------------------------------------------------------------------------


def test_files_are_appended_read_cut_and_mapped(storage: Storage) -> None:
    file = storage.create("name")
    assert (file.size(), bytes(file.map()), file.pread(10, 0)) == (0, b"", b"")
    file.append((b"one",))
    file.append((b" two", memoryview(b" three"), bytearray(b"!")))
    assert file.size() == 14
    assert file.pread(4, 3) == b" two"
    assert file.pread(100, 9) == b"hree!"
    assert file.pread(5, 14) == file.pread(5, 99) == b""
    assert file.resident(14, 0)
    file.truncate(3)
    file.append((b"2",))
    file.sync()
    view = file.map()
    file.fault_in(4, 0)
    file.drop_cache(0)
    file.close()
    file.close()
    assert (bytes(view), view.readonly) == (b"one2", True)
    with pytest.raises(OSError):
        file.pread(1, 0)
    storage.close()


def test_a_file_is_opened_for_reading_or_for_appending(storage: Storage) -> None:
    put(storage, "name", b"one")
    with pytest.raises(OSError) as refused:
        storage.open("name").append((b"x",))
    assert refused.value.errno == errno.EBADF
    file = storage.open("name", writable=True)
    file.append((b"two",))
    assert storage.open("name").pread(10, 0) == b"onetwo"
    storage.close()


def test_names_are_created_renamed_listed_and_removed(storage: Storage) -> None:
    storage.make_folder("log")
    put(storage, "b", b"b")
    put(storage, "log/a", b"a")
    assert storage.list("") == ["b", "log"]
    assert storage.list("log") == ["a"]
    assert [storage.exists(name) for name in ("b", "log", "log/a", "log/b", "no/a")] == [1, 1, 1, 0, 0]
    put(storage, "new", b"n")
    storage.rename("new", "b")
    assert storage.open("b").pread(9, 0) == b"n"
    storage.sync_folder("")
    storage.sync_folder("log")
    storage.unlink("b")
    assert storage.list("") == ["log"]
    with pytest.raises(FileExistsError):
        storage.create("log/a")
    with pytest.raises(FileExistsError):
        storage.make_folder("log")
    for missing in (storage.open, storage.unlink, storage.list):
        with pytest.raises(FileNotFoundError):
            missing("b")
    with pytest.raises(FileNotFoundError):
        storage.rename("b", "c")
    storage.close()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "log/..", "log/", "/etc/passwd", "/x"])
def test_names_that_lead_out_of_the_store_are_refused(storage: Storage, name: str) -> None:
    storage.make_folder("log")
    with pytest.raises((ValueError, OSError)):
        storage.open(name)
    with pytest.raises((ValueError, OSError)):
        storage.create(name)
    assert storage.list("") == ["log"]
    storage.close()


def test_the_disk_below_has_a_size(storage: Storage) -> None:
    space = storage.space()
    assert 0 < space.free_bytes <= space.total_bytes
    storage.close()


def test_an_index_is_committed_and_read_again(storage: Storage) -> None:
    connection = storage.index_connection("index.db", read_only=False)
    connection.pragma("locking_mode", "NORMAL" if storage.shared_index else "EXCLUSIVE")
    assert connection.pragma("journal_mode", "WAL") == "wal"
    connection.execute("CREATE TABLE t(a); INSERT INTO t VALUES(1)")
    connection.close()
    reader = storage.index_connection("index.db", read_only=True)
    reader.pragma("locking_mode", "NORMAL" if storage.shared_index else "EXCLUSIVE")
    assert reader.execute("SELECT a FROM t").get == 1
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO t VALUES(2)")
    reader.close()
    storage.close()


# --- the real one ---------------------------------------------------------------------------


def test_files_and_folders_are_for_the_owner_only(directory: DirectoryStorage, tmp_path: Path) -> None:
    directory.make_folder("log")
    put(directory, "log/a", b"")
    connection = directory.index_connection("index.db", read_only=False)
    connection.pragma("journal_mode", "WAL")
    connection.execute("CREATE TABLE t(a)")
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert len(list(tmp_path.glob("index.db*"))) == 3
    connection.close()
    directory.close()


def test_links_and_pipes_in_the_place_of_files_are_refused(
    directory: DirectoryStorage, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("outside/a")
    (tmp_path / "folder").symlink_to("outside")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder/a", "pipe", "outside"):
        with pytest.raises(OSError):
            directory.open(name)
        with pytest.raises(OSError):
            directory.open(name, writable=True)
        with pytest.raises(OSError):
            directory.index_connection(name, read_only=False)
    with pytest.raises(OSError):
        directory.create("folder/b")
    with pytest.raises(OSError):
        directory.list("folder")
    assert os.listdir(outside) == ["a"]
    directory.close()


def test_a_store_that_is_renamed_meanwhile_is_still_the_same(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    storage = DirectoryStorage(tmp_path / "old")
    storage.make_folder("log")
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "old").mkdir()
    put(storage, "log/a", b"1")
    connection = storage.index_connection("index.db", read_only=False)
    connection.execute("CREATE TABLE t(a)")
    connection.close()
    storage.sync_folder("log")
    assert sorted(os.listdir(tmp_path / "new")) == ["index.db", "log"]
    assert os.listdir(tmp_path / "old") == []
    storage.close()


def test_a_wrong_bit_in_a_page_of_the_index_is_an_error(directory: DirectoryStorage, tmp_path: Path) -> None:
    connection = directory.index_connection("index.db", read_only=False)
    assert connection.reserve_bytes() == 8
    connection.execute("CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(3000))")
    connection.close()
    with open(tmp_path / "index.db", "r+b") as file:
        file.seek(4096 + 3000)
        file.write(b"x")
    reader = directory.index_connection("index.db", read_only=True)
    with pytest.raises(apsw.IOError):
        reader.execute("SELECT a FROM t").get  # noqa: B018 - asking is the point
    reader.close()
    with pytest.raises(FileNotFoundError):
        directory.index_connection("none.db", read_only=True)
    directory.close()


def descriptors_in(directory: DirectoryStorage) -> list[int]:
    """Ours that lead there: of the whole process some may go at any time, with the garbage of other tests."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            if os.readlink(f"/proc/self/fd/{number}").startswith(str(directory.path)):
                found.append(int(number))
    return sorted(found)


def test_descriptors_are_not_inherited_and_go_with_their_file(directory: DirectoryStorage) -> None:
    before = descriptors_in(directory)
    file = directory.create("a")
    file.append((b"x",))
    view = file.map()
    assert len(descriptors_in(directory)) > len(before)
    assert not any(map(os.get_inheritable, descriptors_in(directory)))
    del file
    assert bytes(view) == b"x"
    del view
    assert descriptors_in(directory) == before
    directory.close()


def test_files_that_are_being_removed_are_gone_when_a_store_is_closed(
    directory: DirectoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("a", "b")
    for name in names:
        put(directory, name, b"x")
    remove = os.unlink

    def slowly(name: str, *, dir_fd: int) -> None:
        time.sleep(0.05)
        remove(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", slowly)
    removals = [directory.free(partial(directory.unlink, name)) for name in names]
    directory.close()
    assert [removal.exception(timeout=0) for removal in removals] == [None, None]
    open_files = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
    assert not [path for path in open_files if path.startswith(str(directory.path))]


alone = pytest.mark.serial
"""For what looks at pages in memory: a neighbour that drops the kernel's caches would take them."""


def skip_unless_cold(file: StorageFile, offset: int) -> None:
    if file.resident(1, offset):
        pytest.skip("this file system keeps its pages, or cannot tell")


@alone
def test_a_cold_file_is_not_resident(directory: DirectoryStorage) -> None:
    file = directory.create("a")
    file.append((bytes(1 << 20),))
    assert file.resident(1 << 20, 0)
    file.sync()
    file.drop_cache(0)
    skip_unless_cold(file, 1 << 19)
    assert not file.resident(1 << 20, 0)
    assert file.pread(1 << 20, 0) == bytes(1 << 20)
    assert file.resident(1 << 20, 0)
    directory.close()


@alone
@pytest.mark.parametrize("mapped", [False, True], ids=["read", "mapped"])
def test_what_lies_between_pages_in_memory_is_looked_at_and_asked_for(
    directory: DirectoryStorage, mapped: bool
) -> None:
    """Once the kernel fetches nothing around what is asked for, the pages beside one tell nothing of it."""
    file = directory.create("a")
    file.append((bytes(1 << 20),))
    file.sync()
    file.expect_jumps()
    file.drop_cache(0)
    skip_unless_cold(file, (1 << 20) - 1)
    if mapped:
        file.map()
    length = 320 << 10
    for warm in (0, (128 << 10) - 4096, 128 << 10, 256 << 10, length - 4096):
        file.pread(4096, warm)
    assert not file.resident(length, 0)
    assert file.pread_resident(length, 0) is None or file.resident(length, 0), "it may have come meanwhile"
    deadline = time.monotonic() + 60
    while not file.resident(length, 0):
        assert time.monotonic() < deadline, "nobody has asked the disk for all of it"
        time.sleep(0.001)
    assert file.pread_resident(length, 0) == bytes(length)
    directory.close()


def test_only_the_owner_goes_by_what_the_kernel_tells_of_a_mapping(
    directory: DirectoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody else is told that all of it is in memory."""
    file = directory.create("a")
    file.append((bytes(1 << 20),))
    asked: list[int] = []

    def preadv(descriptor: int, into: tuple[memoryview], offset: int, flags: int) -> int:
        asked.append(offset)
        return len(into[0])

    monkeypatch.setattr(os, "preadv", preadv)
    for stranger in (False, True):
        if stranger:
            monkeypatch.setattr(os, "geteuid", lambda: 12345)
        view = file.map()
        file.fault_in(len(view), 0)
        for start, length in ((0, 1 << 20), (5000, 1), ((1 << 20) - 1, 1), (4096, 0)):
            asked.clear()
            assert file.resident(length, start)
            assert bool(asked) == (stranger and length > 0)
        asked.clear()
        assert file.resident(1 << 20, 1), "a page more than there is, as the reads say here"
        assert asked
    directory.close()


@alone
def test_what_is_not_in_memory_is_asked_for_and_comes(directory: DirectoryStorage) -> None:
    file = directory.create("a")
    content = bytes(range(256)) * 4096
    file.append((content,))
    assert file.pread_resident(32 << 10, 8192) == content[8192 : 40 << 10]
    file.sync()
    file.drop_cache(0)
    skip_unless_cold(file, 1 << 19)
    assert file.pread_resident(2 << 20, 0) is None, "there is less: only `pread` tells the end from the disk"
    deadline = time.monotonic() + 60
    while (found := file.pread_resident(32 << 10, 8192)) is None:
        assert time.monotonic() < deadline, "nobody has asked the disk for it"
        time.sleep(0.001)
    assert found == content[8192 : 40 << 10]
    directory.close()


def test_pages_behind_the_end_of_a_mapped_file_are_an_error_and_no_signal(
    directory: DirectoryStorage, tmp_path: Path
) -> None:
    file = directory.create("a")
    file.append((bytes(3 * 4096),))
    view = file.map()
    os.truncate(tmp_path / "a", 100)
    with pytest.raises(OSError) as failed:
        file.fault_in(4096, 2 * 4096)
    assert failed.value.errno == errno.EIO
    file.fault_in(100, 0)
    assert bytes(view[:100]) == bytes(100)
    directory.close()


def test_a_short_write_is_gone_on_with(directory: DirectoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    file = directory.create("a")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    monkeypatch.setattr(os, "writev", lambda fd, pieces: write(fd, b"".join(pieces)[:4]))
    file.append((b"0123456789",))
    file.append((b"abc", b"defgh", b"i"))
    monkeypatch.setattr(os, "write", lambda fd, data: 0)
    with pytest.raises(OSError):
        file.append((b"x",))
    assert file.pread(99, 0) == b"0123456789abcdefghi"
    directory.close()


def test_what_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    for name, kind in (("none", StoreNotFound), ("file", NotAStore), ("loop", StoreUnreadable)):
        with pytest.raises(kind, match=name):
            DirectoryStorage(tmp_path / name)
