"""`vfs import` and `vfs export` with a store that is mounted and in use, and from a shell without a mount."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.beside import beside
from tests.cli.living import open_files
from tests.mounted.conftest import Mounter
from tests.mounted.mounting import ROOT, VFS, MountedStore, vfs
from tests.trees.material import describe, make_everything
from tests.waiting import eventually
from vfs.mount.client import ControlClient

pytestmark = pytest.mark.mounted


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    top = tmp_path / "everything"
    make_everything(top)
    return top


def run(*arguments: str | Path, data: bytes | None = None) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*VFS, *map(str, arguments)], cwd=ROOT, input=data, capture_output=True, timeout=60, check=False
    )


def test_in_and_out_beside_the_mount(mounted: MountedStore, everything: Path, tmp_path: Path) -> None:
    before = describe(everything)
    out = vfs("import", mounted.path, everything, "/in")
    assert out.startswith(f"imported {everything} into {mounted.store}: ")
    seen = describe(mounted.path / "in", holes=False)
    for entry in before.values():
        entry.pop("holes", None)
    assert seen == before, "the mount shows it at once"
    vfs("export", mounted.path, "/in", tmp_path / "out")
    assert describe(tmp_path / "out", holes=False) == before
    vfs("export", mounted.store, "/in", tmp_path / "out.tar.zst")
    vfs("import", mounted.store, tmp_path / "out.tar.zst", "/again")
    assert describe(mounted.path / "again", holes=False) == before


def test_an_export_has_what_is_on_its_way_from_the_kernel(late: MountedStore, tmp_path: Path) -> None:
    daemon = ControlClient.connect(late.store)
    assert daemon is not None
    with daemon, (late.path / "open").open("wb", buffering=0) as file:
        file.write(b"written")
        daemon.ask("export", source="/", dest=str(tmp_path / "out"))  # sooner than a command could
    assert (tmp_path / "out" / "open").read_bytes() == b"written"


def test_the_kernel_hears_of_it(mounted: MountedStore, tmp_path: Path) -> None:
    top = tmp_path / "in"
    (top / "folder").mkdir(parents=True)
    (top / "folder" / "new").write_bytes(b"new")
    (top / "file").write_bytes(b"after")
    os.chmod(top / "folder", 0o750)
    (mounted.path / "file").write_bytes(b"before, and longer")
    (mounted.path / "folder").mkdir(mode=0o711)
    assert not (mounted.path / "folder" / "new").exists(), "the kernel keeps that it is not there"
    assert sorted(os.listdir(mounted.path)) == ["file", "folder"]
    with open(mounted.path / "file", "rb") as held:
        vfs("import", mounted.path, top)
        assert (mounted.path / "folder" / "new").read_bytes() == b"new"
        assert (mounted.path / "file").read_bytes() == b"after"
        assert os.stat(mounted.path / "folder").st_mode & 0o777 == 0o750
        assert os.stat(mounted.path).st_mtime_ns == os.stat(top).st_mtime_ns
        assert held.read() == b"before, and longer"


def test_the_folder_that_it_goes_into_is_seen_where_there_was_none(
    mounted: MountedStore, tmp_path: Path
) -> None:
    top, dest = tmp_path / "in", mounted.path / "made" / "for it"
    top.mkdir()
    (top / "file").write_bytes(b"content")
    assert not dest.exists(), "the kernel keeps that it is not there"
    refused = run("import", mounted.path, os.devnull, "/made/for it")
    assert refused.returncode == 1
    assert not dest.parent.exists(), "nothing is made for what cannot be read"
    (tmp_path / "no archive").write_bytes(b"x" * 1000)
    assert run("import", mounted.path, tmp_path / "no archive", "/made/for it").returncode == 1
    assert os.listdir(mounted.path) == []
    vfs("import", mounted.path, top, "/made/for it")
    assert (dest / "file").read_bytes() == b"content"
    assert b"leads upwards" in run("import", mounted.path, top, "/made/../x").stderr


def test_while_in_use(mount_store: Mounter, tmp_path: Path) -> None:
    mounted = mount_store("nopack")
    top = tmp_path / "in"
    top.mkdir()
    for number in range(300):
        (top / f"{number}").write_bytes(os.urandom(200_000))
    stop = threading.Event()
    slowest = 0.0

    def use() -> None:
        nonlocal slowest
        number = 0
        while not stop.is_set():
            since = time.monotonic()
            path = mounted.path / f"used{number % 20}"
            path.write_bytes(b"%d" % number)
            assert path.read_bytes() == b"%d" % number
            number += 1
            slowest = max(slowest, time.monotonic() - since)

    user = threading.Thread(target=use)
    user.start()
    begin = time.monotonic()
    try:
        vfs("import", mounted.path, top, "/in")
        vfs("export", mounted.path, "/in", tmp_path / "out")
    finally:
        stop.set()
        user.join()
    assert slowest < max(5, (time.monotonic() - begin) / 2), "the mount answers meanwhile"
    subprocess.run(["diff", "-r", top, tmp_path / "out"], check=True)
    # What was logged since the last checkpoint counts; where the disk is slow, `info` does not wait for one.
    eventually(lambda: mounted.info()["backlog_bytes"] < 1_000_000)
    mounted.remount()
    subprocess.run(["diff", "-r", top, mounted.path / "in"], check=True)


@pytest.mark.parametrize("is_mounted", [True, False])
def test_streams(mounted: MountedStore, everything: Path, tmp_path: Path, *, is_mounted: bool) -> None:
    before = describe(everything, holes=False)
    if not is_mounted:
        mounted.unmount()
    packed = subprocess.run(
        ["tar", "--format=posix", "--xattrs", "--xattrs-include=*", "-czf", "-", "-C", everything, "."],
        check=True,
        capture_output=True,
    ).stdout
    done = run("import", mounted.store, "-", "/in", data=packed)
    assert (done.returncode, done.stderr) == (0, b"")
    done = run("export", mounted.store, "/in", "-")
    assert (done.returncode, done.stderr) == (0, b"")
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-xpf", "-", "-C", tmp_path / "out"],
        input=done.stdout,
        check=True,
    )
    assert describe(tmp_path / "out", holes=False) == before
    done = run("import", mounted.store, "-", "/bad", data=packed[: len(packed) // 2])
    assert done.returncode == 1
    assert done.stderr.startswith(b"vfs: ")
    assert done.stderr.count(b"\n") == 1
    assert b"cut short" in done.stderr
    assert b"(so far: " in done.stderr
    if not is_mounted:
        mounted.mount()


def test_its_own_mount_is_refused(mounted: MountedStore, tmp_path: Path) -> None:
    (mounted.path / "folder").mkdir()
    (tmp_path / "way").symlink_to(mounted.path / "folder")
    for path in (mounted.path / "folder", mounted.path, mounted.store, tmp_path / "way"):
        for arguments in (("import", mounted.path, path), ("export", mounted.path, path)):
            done = run(*arguments)
            assert done.returncode == 1, arguments
            assert b"which is this store or its own mount" in done.stderr
            assert done.stderr.count(b"\n") == 1


def test_a_folder_around_its_own_mount(mounted: MountedStore, tmp_path: Path) -> None:
    (mounted.path / "inside").write_bytes(b"x")
    around = mounted.path.parent
    (around / "beside").write_bytes(b"y")
    report = json.loads(vfs("import", "--json", mounted.path, around, "/in"))
    assert report["skipped"] == {"folders of the store itself": 2}
    assert (mounted.path / "in" / "beside").read_bytes() == b"y"
    assert not (mounted.path / "in" / "mnt").exists()


def test_an_unmount_ends_an_import(mounted: MountedStore, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [*VFS, "import", str(mounted.path), str(pipe), "/in"]
    with beside(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)) as client:
        with open(pipe, "wb") as archive:
            archive.write(b"")
            archive.flush()
            time.sleep(0.5)
            mounted.unmount()
        assert client.stderr is not None
        error = client.stderr.read()
        assert client.wait() == 1
    assert error.startswith(b"vfs: ")
    mounted.mount()


def wait_for_the_pipe(pid: int) -> None:
    """Until a daemon reads what a client of it pipes in."""
    eventually(
        lambda: any(name.endswith("/archive.tar") for name in open_files(pid)),
        otherwise="the daemon was not asked",
    )


def test_a_client_that_goes_ends_its_import(mounted: MountedStore, tmp_path: Path) -> None:
    command = [*VFS, "import", str(mounted.path), "-", "/in"]
    client = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_the_pipe(mounted.pid)
    client.send_signal(2)
    client.wait(timeout=60)  # its stdin stays open until then: an archive that ends is an error of its own
    _, error = client.communicate()
    assert client.returncode == 130, error
    assert error.startswith(b"vfs: interrupted")
    (tmp_path / "x").mkdir()
    vfs("import", mounted.path, tmp_path / "x", "/after")  # the packs are free again
    assert (mounted.path / "after").is_dir()


def test_collections_get_their_turn(mounted: MountedStore, tmp_path: Path) -> None:
    top = tmp_path / "in"
    top.mkdir()
    for number in range(3):
        (top / f"{number}").write_bytes(os.urandom(70 << 20))
    with beside(subprocess.Popen([*VFS, "import", str(mounted.path), str(top)], cwd=ROOT)) as client:
        time.sleep(0.7)
        vfs("gc", mounted.path)
        vfs("flush", mounted.path)
        assert client.wait(60) == 0
    subprocess.run(["diff", "-r", top, mounted.path], check=True)


def test_wrong_words(mounted: MountedStore, tmp_path: Path) -> None:
    mounted.unmount()
    for arguments, words in (
        (("import", mounted.store, tmp_path / "missing"), b"No such file"),
        (("import", mounted.store, mounted.log), b"neither a folder nor a tar archive"),
        (("export", mounted.store, "/missing", tmp_path / "out"), b"missing"),
        (("export", mounted.store, "/", mounted.log), b"is no folder"),
    ):
        done = run(*arguments)
        assert done.returncode == 1, arguments
        assert words in done.stderr, done.stderr
        assert done.stderr.count(b"\n") == 1
    assert run("import", mounted.store).returncode == 2
    assert run("export", mounted.store).returncode == 2
    assert run("export", mounted.store, "-", "--json").returncode == 2
    assert b"vfs: the archive: empty" in _nothing_into(mounted.store)
    mounted.mount()
    assert b"vfs: the archive: empty" in _nothing_into(mounted.path)  # and no word of the pipe in between


def _nothing_into(target: Path) -> bytes:
    """What an import of an empty stdin says."""
    done = subprocess.run(
        [*VFS, "import", str(target), "-"],
        cwd=ROOT,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done
    return done.stderr
