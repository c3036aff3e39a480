"""Mount options as a program on the mount feels them, and two mounts side by side."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import run

pytestmark = pytest.mark.mounted


def refusal(action: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:
        action()
    return caught.value.errno


def test_read_only(mounted: MountedStore) -> None:
    file, folder = mounted.path / "file", mounted.path / "folder"
    folder.mkdir()
    file.write_bytes(b"content")
    before = os.stat(file)
    mounted.kill()  # so that a read-only mount has a log to replay
    size = sum(path.stat().st_size for path in mounted.store.glob("log/*"))
    mounted.mount("ro")
    assert file.read_bytes() == b"content"
    assert sorted(os.listdir(mounted.path)) == ["file", "folder"]
    assert os.statvfs(mounted.path).f_flag & os.ST_RDONLY
    for action in (
        lambda: os.open(file, os.O_RDWR),
        lambda: (mounted.path / "new").touch(),
        lambda: (folder / "below").mkdir(),
        folder.rmdir,
        file.unlink,
        lambda: file.rename(mounted.path / "other"),
        lambda: os.link(file, mounted.path / "link"),
        lambda: os.symlink("x", mounted.path / "link"),
        lambda: os.mkfifo(mounted.path / "fifo"),
        lambda: file.chmod(0o600),
        lambda: os.utime(file),
        lambda: os.truncate(file, 0),
        lambda: os.setxattr(file, "user.a", b""),
    ):
        assert refusal(action) == errno.EROFS
    with open(file, "rb") as handle:
        os.fsync(handle.fileno())
    mounted.unmount()
    assert sum(path.stat().st_size for path in mounted.store.glob("log/*")) == size
    mounted.mount("rw")
    assert os.stat(file).st_atime_ns == before.st_atime_ns
    file.write_bytes(b"changed")


def test_programs_run_and_noexec_keeps_them_from_it(mounted: MountedStore) -> None:
    script = mounted.path / "script"
    script.write_text("#!/bin/sh\necho it ran\n")
    script.chmod(0o755)
    assert run(script) == "it ran\n"
    mounted.remount("noexec")
    assert refusal(lambda: run(script)) == errno.EACCES


def test_short_attribute_timeout_shows_the_same(mount_store: Mounter) -> None:
    mounted = mount_store("attr_timeout=0", "commit=0.2", "cache_size=1M")
    for number in range(300):
        (mounted.path / f"{number}").write_bytes(bytes([number % 256]) * number * 100)
        assert os.stat(mounted.path / f"{number}").st_size == number * 100
    assert not (mounted.path / "300").exists()
    (mounted.path / "300").touch()
    assert (mounted.path / "300").exists()
    os.rename(mounted.path / "1", mounted.path / "300")
    assert not (mounted.path / "1").exists()
    for number in range(2, 300):
        assert (mounted.path / f"{number}").read_bytes() == bytes([number % 256]) * number * 100


def test_two_mounts_at_once(mount_store: Mounter) -> None:
    one, two = mount_store(), mount_store("noxattr")
    with pytest.raises(AssertionError, match=f"by process {one.pid}|pid {one.pid}"):
        vfs("mount", one.store, two.path.parent)
    failures: list[BaseException] = []

    def work(mounted: MountedStore, word: bytes) -> None:
        try:
            for number in range(300):
                (mounted.path / f"{number}").write_bytes(word * number)
            for number in range(300):
                assert (mounted.path / f"{number}").read_bytes() == word * number
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=pair) for pair in ((one, b"one"), (two, b"two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert refusal(lambda: os.rename(one.path / "1", two.path / "1")) == errno.EXDEV
    run("mv", one.path / "7", two.path / "moved")
    one.kill()
    assert (two.path / "moved").read_bytes() == b"one" * 7
    assert (two.path / "299").read_bytes() == b"two" * 299


def test_a_store_that_lies_on_a_mount(mount_store: Mounter, tmp_path: Path) -> None:
    outer = mount_store()
    inner = MountedStore(outer.path / "inner")
    try:
        for content in (b"a chunk inside of a chunk " * 10_000, b"and again " * 10_000):
            inner.mount()
            (inner.path / "file").write_bytes(content)
            inner.kill()
            inner.mount()
            assert (inner.path / "file").read_bytes() == content
            inner.unmount()
            outer.remount()
    finally:
        inner.abandon()
    # What is in the inner log is data of the outer one, and each is sound for itself.
    run("cp", "-a", inner.store, tmp_path / "copy")
    assert '"clean": true' in vfs("fsck", "--json", tmp_path / "copy")
