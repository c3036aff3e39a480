"""What a snapshot of a mounted store has: all that programs had written by then, and one moment."""

import mmap
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.mounted.disks import MIB
from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import start_python, wait_for
from tests.mounted.taken_room import taken_bytes
from vfs.mount.client import ControlClient

pytestmark = pytest.mark.mounted

MOST_SECONDS = 0.05
"""To create a snapshot."""

# Writes, maps and appends without ever a sync or a close, tells that, and waits to be told to end.
KEEPER = """
import mmap, os, sys
written = os.open("written", os.O_RDWR | os.O_CREAT)
os.write(written, b"w" * 3_000_000)
appended = os.open("appended", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(2000):
    os.write(appended, b"%06d\\n" % number)
mapped = os.open("mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(mapped, 1 << 20)
shown = mmap.mmap(mapped, 1 << 20)
shown[:] = b"m" * (1 << 20)
shown[4096 * 5 : 4096 * 5 + 5] = b"first"
os.truncate("cut", 3)
os.chmod("cut", 0o600)
print("kept", flush=True)
sys.stdin.readline()
shown[4096 * 5 : 4096 * 5 + 6] = b"second"
os.pwrite(written, b"later", 0)
print("later", flush=True)
sys.stdin.readline()
"""

# Has a lease of what it writes, as Samba has, and gives it back a while after it was asked to.
LESSEE = """
import fcntl, os, signal, time
asked = []
signal.alarm(100)
signal.signal(signal.SIGIO, lambda *_: asked.append(True))
written = os.open("leased", os.O_RDWR | os.O_CREAT)
os.write(written, b"w" * 3_000_000)
fcntl.fcntl(written, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("leased", flush=True)
while not asked:
    time.sleep(0.01)
time.sleep(1)
fcntl.fcntl(written, fcntl.F_SETLEASE, fcntl.F_UNLCK)
os.write(written, b"later")
"""

# Makes, in this order: a/N whole and synced, its name in b, its name in c. Until told to end.
ORDERLY = """
import os, select, sys
number = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    name = f"{number:06d}"
    with open(f"new-{name}", "wb") as file:
        file.write(name.encode() * 3000)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"new-{name}", f"a/{name}")
    os.link(f"a/{name}", f"b/{name}")
    os.mkdir(f"c/{name}")
    number += 1
print(number, flush=True)
"""


def take(mounted: MountedStore, name: str) -> Path:
    """A snapshot, asked for as the command asks; where it shows."""
    client = ControlClient.connect(mounted.store)
    assert client is not None
    with client:
        client.ask("snapshot_create", name=name, comment="")
    return mounted.path / ".snapshots" / name


def test_what_the_kernel_still_keeps_is_in_it(mounted: MountedStore) -> None:
    (mounted.path / "cut").write_text("longer than it will be")
    with start_python(KEEPER, cwd=mounted.path) as keeper:
        check_what_is_kept(mounted, keeper)


def check_what_is_kept(mounted: MountedStore, keeper: "subprocess.Popen[str]") -> None:
    assert keeper.stdout is not None
    assert keeper.stdin is not None
    assert keeper.stdout.readline() == "kept\n"
    shown = take(mounted, "one")
    keeper.stdin.write("\n")
    keeper.stdin.flush()
    assert keeper.stdout.readline() == "later\n"
    for _ in range(2):
        assert (shown / "written").read_bytes() == b"w" * 3_000_000
        assert (shown / "appended").read_bytes() == b"".join(b"%06d\n" % number for number in range(2000))
        mapped = (shown / "mapped").read_bytes()
        assert mapped[4096 * 5 : 4096 * 5 + 6] == b"firstm"
        assert mapped.count(b"m") == (1 << 20) - 5
        assert (shown / "cut").read_bytes() == b"lon"
        assert (shown / "cut").stat().st_mode & 0o777 == 0o600
        second = take(mounted, f"second{time.monotonic_ns()}")
        assert (second / "mapped").read_bytes()[4096 * 5 : 4096 * 5 + 6] == b"second"
        assert (second / "written").read_bytes()[:6] == b"laterw"
    wait_for(keeper)


def test_a_lease_of_a_file_is_asked_back_for_it(mounted: MountedStore) -> None:
    with start_python(LESSEE, cwd=mounted.path) as lessee:
        assert lessee.stdout is not None
        assert lessee.stdout.readline() == "leased\n"
        shown = take(mounted, "one")
        wait_for(lessee)
    assert (shown / "leased").read_bytes().startswith(b"w" * 3_000_000)


def test_what_is_on_its_way_from_the_kernel_is_in_it(late: MountedStore) -> None:
    """syncfs(2) waits for none of that, since Linux 6.18 not even until it is sent."""
    (late.path / "folder").mkdir()
    names = ("one", "folder/two", "gone", "closed")
    files = {name: os.open(late.path / name, os.O_RDWR | os.O_CREAT, 0o400) for name in names}
    (late.path / "mapped").write_bytes(b"before")
    with open(late.path / "mapped", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        for name, descriptor in files.items():
            os.pwrite(descriptor, name.encode(), 0)
        mapped[:6] = b"mapped"
        os.unlink(late.path / "gone")
        os.close(files.pop("closed"))
        shown = take(late, "first")
        for name in ("one", "folder/two", "closed", "mapped"):
            assert (shown / name).read_bytes() == name.encode()
        for descriptor in files.values():
            os.pwrite(descriptor, b"and then", 0)
            os.close(descriptor)
    assert (take(late, "second") / "one").read_bytes() == b"and then"


def test_a_file_that_was_open_at_a_snapshot_keeps_no_room_when_both_are_gone(mounted: MountedStore) -> None:
    """The kernel is made to forget by which name the file was reached."""
    with (mounted.path / "file").open("wb", buffering=0) as file:
        file.write(random.Random(1).randbytes(8 * MIB))
        vfs("snapshot", "create", mounted.path, "first")
    (mounted.path / "file").unlink()
    vfs("snapshot", "delete", mounted.path, "first")
    vfs("gc", mounted.path)
    assert sum(taken_bytes(mounted.store / part) for part in ("log", "packs")) < 4 * MIB


def test_it_is_one_moment_of_those_who_write_meanwhile(mounted: MountedStore) -> None:
    folders = [mounted.path / f"writer{number}" for number in range(2)]
    writers = []
    for folder in folders:
        for name in ("a", "b", "c"):
            (folder / name).mkdir(parents=True)
        writers.append(start_python(ORDERLY, cwd=folder))
    wait_for_steps(folders, 1)
    shown = [take(mounted, "first")]
    for number in range(10):
        time.sleep(0.05)
        shown.append(take(mounted, f"at{number}"))
    wait_for_steps(folders, 13)
    shown.append(take(mounted, "last"))
    made = [int(wait_for(writer)) for writer in writers]
    assert min(made) > 12, "they went on meanwhile"
    for number in range(2):
        counts = [check_a_moment(snapshot / f"writer{number}") for snapshot in shown]
        assert counts == sorted(counts)
        assert counts[-1] > counts[0]
        assert check_a_moment(mounted.path / f"writer{number}") == made[number]


def wait_for_steps(folders: list[Path], more: int) -> None:
    """Return when each of those who work in the folders has taken so many more steps."""
    wanted = {folder / "c": len(os.listdir(folder / "c")) + more for folder in folders}
    end = time.monotonic() + 60
    while any(len(os.listdir(folder)) < count for folder, count in wanted.items()):
        assert time.monotonic() < end, "they do not get on"
        time.sleep(0.01)


def check_a_moment(folder: Path) -> int:
    """Everything up to some step, and nothing after it; how many files there are."""
    first, second, third = (sorted(os.listdir(folder / name)) for name in ("a", "b", "c"))
    assert first == [f"{number:06d}" for number in range(len(first))]
    assert second in (first, first[:-1])
    assert third in (second, second[:-1])
    if second != first:
        assert third == second, "of several steps at most the last one is missing"
    left = set(os.listdir(folder)) - {"a", "b", "c"}
    assert left <= {f"new-{len(first):06d}"}
    assert not left or third == first, "the next one is begun when the last one is done"
    for name in first:
        assert (folder / "a" / name).read_bytes() == name.encode() * 3000
    for name in second:
        assert os.path.samefile(folder / "a" / name, folder / "b" / name)
    return len(first)


@pytest.mark.serial
def test_on_a_quiet_mount_it_takes_less_than_50_ms(mounted: MountedStore) -> None:
    """From the request to the answer, with pages to hand over. The best of some: others work here as well."""
    seconds: list[float] = []
    while len(seconds) < 10 or (min(seconds) >= MOST_SECONDS and len(seconds) < 60):
        number = len(seconds)
        (mounted.path / "file").write_text(f"{number}")
        begin = time.monotonic()
        take(mounted, f"at{number}")
        seconds.append(time.monotonic() - begin)
    print([f"{each * 1e3:.1f} ms" for each in seconds])
    assert min(seconds) < MOST_SECONDS


def test_many_at_once_beside_requests(mounted: MountedStore) -> None:
    """Snapshots, clones and their ends from several clients at the same time."""
    (mounted.path / "file").write_text("x")
    take(mounted, "base")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                for verb, arguments in (
                    ("snapshot_create", {"name": f"s{number}-{turn}", "comment": ""}),
                    ("clone", {"source": "base", "path": f"c{number}-{turn}", "top": "/"}),
                    ("snapshot_rename", {"name": f"s{number}-{turn}", "new_name": f"t{number}-{turn}"}),
                    ("clone_delete", {"path": f"c{number}-{turn}", "top": "/"}),
                    ("snapshot_delete", {"names": [f"t{number}-{turn}"]}),
                ):
                    client = ControlClient.connect(mounted.store)
                    assert client is not None
                    with client:
                        client.ask(verb, **arguments)
                    (mounted.path / f"file{number}").write_text(f"{turn}")
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert os.listdir(mounted.path / ".snapshots") == ["base"]
    assert sorted(os.listdir(mounted.path)) == ["file", *(f"file{number}" for number in range(4))]
