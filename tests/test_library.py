"""A store as a library: what README and the package's docstring show, and what `open` and `close` promise."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vfs
from vfs.backing.lock import StoreLock
from vfs.backing.storage import DirectoryStorage
from vfs.backing.superblock import FORMAT
from vfs.errors import (
    Exists,
    InvalidArgument,
    IsADirectory,
    NewerFormat,
    NoEntry,
    NotAStore,
    NotEmpty,
    ReadOnly,
    StoreBusy,
    StoreNotEmpty,
    StoreNotFound,
)

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    vfs.mkfs(tmp_path / "store")
    return tmp_path / "store"


def test_the_readme_example_runs(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert examples, "the README shows the library"
    for example in examples:
        subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True)


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_paths_of_every_type(tmp_path: Path, kind: type) -> None:
    path = kind(tmp_path / "a store with blanks")
    vfs.mkfs(path)
    with vfs.open(path) as fs:
        fs.write_bytes(kind("/file"), b"text")
        assert fs.read_bytes(kind("file")) == b"text"
        assert fs.exists(kind("/file"))
        assert fs.listdir(kind("/")) == [b"file"]


def test_paths_follow_links(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.make_directory("/a/b", parents=True)
        fs.write_bytes("/a/b/file", b"text")
        fs.symlink(1, b"relative", b"a/./b")
        fs.symlink(fs.resolve("/a").ino, b"absolute", b"/a/b/file")
        fs.symlink(1, b"loop", b"loop")
        assert fs.read_bytes("/relative/file") == b"text"
        assert fs.read_bytes("/a/absolute") == b"text"
        assert fs.read_bytes("/a/b/../absolute") == b"text"
        assert fs.resolve("/a/absolute", follow=False).is_symlink
        with pytest.raises(InvalidArgument, match="symbolic links"):
            fs.resolve("/loop")
        with pytest.raises(NoEntry):
            fs.resolve("/a/missing/file")


def test_move_and_remove(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.make_directory("/d")
        fs.write_bytes("/d/x", b"1")
        fs.move("/d/x", "/y")
        with pytest.raises(Exists):
            fs.make_directory("/y")
        fs.remove("/d")
        fs.remove("/y")
        assert fs.listdir() == []
        fs.make_directory("/d/e", parents=True)
        with pytest.raises(NotEmpty):
            fs.remove("/d")
        with pytest.raises(IsADirectory):
            fs.unlink(1, b"d")


def test_kinds_of_files_that_do_not_exist(store: Path) -> None:
    with vfs.open(store) as fs:
        for mode in (0o030644, 0o110644, 0o170644):
            with pytest.raises(InvalidArgument, match="no such kind"):
                fs.mknod(1, b"odd", mode)
        assert fs.listdir() == []


def test_rewriting_a_file_replaces_it(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("/f", b"long content")
        fs.write_bytes("/f", b"short")
        assert fs.read_bytes("/f") == b"short"


def test_reopening_needs_no_replay_after_a_clean_close(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("/f", b"text")
        first = fs.resolve("/f").ino
    with vfs.open(store) as fs:
        assert fs.replayed_records == 0
        assert fs.read_bytes("/f") == b"text"
        fs.write_bytes("/g", b"")
        assert fs.resolve("/g").ino == first + 1, "a clean close gives unused numbers back"


def test_numbers_are_not_used_again_after_a_crash(store: Path) -> None:
    fs = vfs.open(store)
    fs.write_bytes("/f", b"text")
    seen = fs.resolve("/f").ino
    fs.store.close()
    path = store / "log" / "chunk-00000001"
    os.truncate(path, _synced_size(path))  # a power cut: the creation was not synced
    with vfs.open(store) as fs:
        assert not fs.exists("/f")
        fs.write_bytes("/g", b"")
        assert fs.resolve("/g").ino > seen


def _synced_size(path: Path) -> int:
    """The end of the chunk's first frame, the reservation, which was synced before a number was used."""
    data = path.read_bytes()
    return data.index(b"vFrm", data.index(b"vFrm") + 4)


def test_a_read_only_store_refuses_changes_and_writes_nothing(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("/f", b"text")
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file() and path.name != "lock"}
    with vfs.open(store, read_only=True) as fs:
        assert fs.read_bytes("/f") == b"text"
        with pytest.raises(ReadOnly):
            fs.write_bytes("/f", b"other")
        with pytest.raises(ReadOnly):
            fs.remove("/f")
    after = {path: path.read_bytes() for path in store.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before


def test_one_owner(store: Path) -> None:
    with vfs.open(store):
        with pytest.raises(StoreBusy) as caught:
            vfs.open(store)
        assert caught.value.pid == os.getpid()
        with pytest.raises(StoreBusy):
            vfs.check(store)
    vfs.open(store).close()


def test_who_comes_next_finds_no_file_that_is_about_to_go(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, release = DirectoryStorage.unlink, StoreLock.release
    left: list[list[str]] = []

    def slowly(storage: DirectoryStorage, name: str) -> None:
        time.sleep(0.05)
        remove(storage, name)

    def noting(lock: StoreLock) -> None:
        left.append(sorted(os.listdir(store / "log")))
        release(lock)

    monkeypatch.setattr(DirectoryStorage, "unlink", slowly)
    monkeypatch.setattr(StoreLock, "release", noting)
    fs = vfs.open(store)
    fs.write_bytes("/f", os.urandom(100_000))
    fs.remove("/f")
    fs.close()
    assert left == [["chunk-00000002"]]
    assert sorted(os.listdir(store / "log")) == left[0]


def test_a_dead_owner_blocks_nobody(store: Path) -> None:
    script = f"import vfs, os; fs = vfs.open({str(store)!r}); fs.write_bytes('/f', b'text'); os._exit(9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    with vfs.open(store) as fs:
        assert fs.read_bytes("/f") == b"text"


def test_close_twice(store: Path) -> None:
    fs = vfs.open(store)
    fs.close()
    fs.close()


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        vfs.open(tmp_path / "missing")
    with pytest.raises(NotAStore):
        vfs.open(tmp_path)
    assert not list(tmp_path.iterdir()), "no trace is left in what is no store"
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotAStore):
        vfs.open(tmp_path / "file")
    with pytest.raises(StoreNotEmpty):
        vfs.mkfs(tmp_path)


def test_a_newer_format(store: Path) -> None:
    path = store / "superblock.json"
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))
    with pytest.raises(NewerFormat, match="install a newer"):
        vfs.open(store)


def test_info(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("/f", b"x" * 1000)
        info = fs.info()
        assert info["files"] == 1
        assert info["directories"] == 1
        assert info["logical_bytes"] == 1000
        assert info["stored_bytes"] > 0
        fs.remove("/f")
        assert fs.info()["logical_bytes"] == 0
