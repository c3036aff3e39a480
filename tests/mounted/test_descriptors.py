"""Open files without end: the daemon needs no descriptor for any of them, and few for its store."""

import errno
import itertools
import os
import random
import resource
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import vfs as library
from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import start_python, wait_for
from tests.mounted.test_packing import info
from tests.mounted.vitals import MIB, vitals, watched
from tests.waiting import eventually

pytestmark = pytest.mark.mounted

PROCESSES = 10
FILES = 1000
"""Files that each of them has open."""

PARTS = 300
"""Packs, and chunks of the log, that a store has in a test: several times what may be open at once."""

DESCRIPTORS = 250
"""What a daemon may have open at the most, whatever its store holds and its clients do."""

HOLDER = """
import os, resource, sys
name, files = sys.argv[1], int(sys.argv[2])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if soft < files + 100:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files + 100, hard))
held = []
for number in range(files):
    path = f"{name}-{number}"
    held.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    os.write(held[-1], b"%d" % number * 300)
    if number % 2:
        os.unlink(path)
print("held", flush=True)
sys.stdin.readline()
for number, descriptor in enumerate(held):
    assert os.pread(descriptor, 5000, 0) == b"%d" % number * 300
    assert os.fstat(descriptor).st_nlink == (number + 1) % 2
"""

VICTIMS = """
import os, signal, sys
for number in range(int(sys.argv[1])):
    if os.fork() == 0:
        for file in range(25):
            descriptor = os.open(f"{number}-{file}", os.O_RDWR | os.O_CREAT | os.O_EXCL)
            os.write(descriptor, os.urandom(20_000))
            os.fsync(descriptor) if file == 0 else None
            os.unlink(f"{number}-{file}")
        os.listdir(os.open(".", os.O_RDONLY))
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
"""


def test_10_000_files_open_in_many_processes(mounted: MountedStore) -> None:
    at_first = vitals(mounted.pid)
    holders = [start_python(HOLDER, f"{number}", f"{FILES}", cwd=mounted.path) for number in range(PROCESSES)]
    try:
        with watched(mounted.pid) as most:
            for holder in holders:
                assert holder.stdout is not None
                assert holder.stdout.readline() == "held\n"
            assert info(mounted)["files"] == PROCESSES * FILES // 2
            vfs("flush", mounted.path)
            for holder in holders[::2]:
                wait_for(holder)
        print(f"{at_first} before, at most {most}")
        assert most.descriptors < 60
        assert most.threads < 40
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
    assert len(os.listdir(mounted.path)) == PROCESSES * FILES // 2
    eventually(
        lambda: vitals(mounted.pid).descriptors <= at_first.descriptors + 10,
        otherwise="descriptors stay open",
    )
    mounted.remount()
    names = os.listdir(mounted.path)
    for name in random.Random(1).sample(names, 200):
        assert (mounted.path / name).read_bytes() == name.rpartition("-")[2].encode() * 300


def test_killed_clients_leave_nothing(mounted: MountedStore) -> None:
    wait_for(start_python(VICTIMS, "2", cwd=mounted.path))
    at_first = vitals(mounted.pid)
    for _ in range(3):
        wait_for(start_python(VICTIMS, "15", cwd=mounted.path))
    eventually(
        lambda: info(mounted)["logical_bytes"] == 0, otherwise="unlinked files of killed clients live on"
    )
    vfs("gc", mounted.path)
    figures = info(mounted)
    assert (figures["files"], figures["backlog_bytes"]) == (0, 0)
    assert figures["stored_bytes"] < MIB
    assert mounted.fsck()["counts"]["files"] == 0
    eventually(
        lambda: vitals(mounted.pid).descriptors <= at_first.descriptors + 5, otherwise="descriptors stay open"
    )
    eventually(lambda: vitals(mounted.pid).threads <= at_first.threads + 10, otherwise="threads stay")
    now = vitals(mounted.pid)
    print(f"{at_first} at first, {now} after 1,125 files of 45 killed processes")
    assert now.memory_bytes <= at_first.memory_bytes + 20 * MIB


# --- a store of many parts --------------------------------------------------------------------

KINDS = ("text", "noise", "logged")


def content(kind: str, number: int) -> bytes:
    if kind == "text":
        return b"".join(b"%d of %d, " % (word, number) for word in range(600))
    return random.Random(f"{kind} {number}").randbytes(70_000 if kind == "logged" else 9000)


@pytest.fixture(scope="module")
def store_of_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of PARTS packs and as many chunks."""
    store = tmp_path_factory.mktemp("parts") / "store"
    library.mkfs(store)
    with pytest.MonkeyPatch.context() as patch, library.open(store) as fs:
        fs.autopilot = False  # however long it takes, what is logged stays there
        for name in ("fsync", "fdatasync"):  # it need not outlast the machine, and a disk may take long
            patch.setattr(os, name, lambda descriptor: None)
        for number in range(PARTS):
            fs.write_bytes(f"/text-{number}", content("text", number))
            fs.write_bytes(f"/noise-{number}", content("noise", number))
            fs.flush()
        patch.setattr(fs.log, "chunk_bytes", 100_000)
        for number in range(PARTS):
            fs.write_bytes(f"/logged-{number}", content("logged", number))
    assert len(list(store.glob("packs/*"))) == PARTS
    assert len(list(store.glob("log/*"))) >= PARTS
    return store


@pytest.fixture
def parts(mounted: MountedStore, store_of_parts: Path) -> MountedStore:
    """That store, mounted; the daemon has opened nothing of it yet."""
    mounted.unmount()
    shutil.rmtree(mounted.store)
    shutil.copytree(store_of_parts, mounted.store)
    mounted.mount("nopack", "cache_size=4M")
    return mounted


def test_all_of_a_store_of_many_packs_and_chunks_is_read(parts: MountedStore) -> None:
    files = [(kind, number) for kind in KINDS for number in range(PARTS)] * 2
    random.Random(2).shuffle(files)

    def read(file: tuple[str, int]) -> None:
        kind, number = file
        assert (parts.path / f"{kind}-{number}").read_bytes() == content(kind, number)

    with watched(parts.pid) as most, ThreadPoolExecutor(8) as pool:
        list(pool.map(read, files))
        vfs("fsck", "--data", parts.path)
    maps = Path(f"/proc/{parts.pid}/maps").read_text()
    print(f"at most {most}, {maps.count('/packs/')} packs and {maps.count('/log/')} chunks mapped")
    assert most.descriptors < DESCRIPTORS
    assert most.memory_bytes < 100 * MIB
    assert maps.count("/packs/") <= 70
    assert maps.count("/log/") <= 50


@contextmanager
def no_descriptor_left(pid: int) -> Iterator[None]:
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    numbers = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    free = next(number for number in itertools.count() if number not in numbers)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def write_noise(descriptor: int) -> None:
    for _ in range(80):
        os.write(descriptor, random.Random(5).randbytes(MIB))
    os.fsync(descriptor)


def read_some(parts: MountedStore, of: int = 40) -> None:
    for number in random.Random(3).sample(range(of), 40):
        for kind in KINDS:
            assert (parts.path / f"{kind}-{number}").read_bytes() == content(kind, number)


def test_a_daemon_out_of_descriptors(parts: MountedStore) -> None:
    """Requests that need one fail with ENFILE, all others are answered; then all is as before."""
    (parts.path / "small").write_bytes(b"small")
    with no_descriptor_left(parts.pid):
        for kind in KINDS:  # nothing was read yet that could be closed to make room
            with pytest.raises(OSError) as caught:
                (parts.path / f"{kind}-0").read_bytes()
            assert caught.value.errno == errno.ENFILE
        (parts.path / "made").write_bytes(b"meanwhile")
        os.rename(parts.path / "small", parts.path / "renamed")
        with open(parts.path / "large", "wb", buffering=0) as large, pytest.raises(OSError) as caught:
            write_noise(large.fileno())  # more than a chunk of the log has room for, and a new one is a file
        assert caught.value.errno == errno.ENFILE
        os.unlink(parts.path / "large")
        assert (parts.path / "made").read_bytes() == b"meanwhile"
    read_some(parts)
    with no_descriptor_left(parts.pid):
        read_some(parts, of=PARTS)  # by closing what was read before
    (parts.path / "large").write_bytes(bytes(range(256)) * 1024 * 320)
    figures = info(parts)
    assert not figures["read_only"]
    assert figures["failed"] is None
    assert (parts.path / "renamed").read_bytes() == b"small"
    vfs("fsck", "--data", parts.path)
    parts.unmount()
    said = parts.log_text()
    assert "too many open files; raise the daemon's limit (ulimit -n)" in said
    assert "Traceback" not in said
    assert "damaged" not in said
    parts.log.write_text("")  # that was expected; what follows has to be quiet
    parts.mount("nopack")
    assert os.stat(parts.path / "large").st_size == 80 * MIB
