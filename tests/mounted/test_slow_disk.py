"""A disk that hangs or is slow keeps nobody from asking what the daemon waits for, and loses nothing."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.beside import beside
from tests.mounted import impatient_daemon, slow_daemon
from tests.mounted.loop_disk import LoopDisk, loop_disk
from tests.mounted.mounting import ROOT, VFS, MountedStore, is_mounted, vfs
from tests.mounted.programs import needs_root, start_python, wait_for
from vfs.mount.client import ControlClient

pytestmark = pytest.mark.mounted

ANSWER_SECONDS = 3.0
TRIES = 5

# Appends and syncs a line at a time, and prints the number of each that was acknowledged.
WRITER = """
import os, select, sys
descriptor = os.open("written", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
number = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    os.write(descriptor, b"%08d\\n" % number)
    os.fsync(descriptor)
    print(number, flush=True)
    number += 1
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    with loop_disk(tmp_path / "loop") as made:
        yield made


def ask(store: Path, verb: str, most_seconds: float) -> dict[str, Any]:
    """What the daemon answers within that time. It has some tries: others work on this machine as well."""
    took: list[float] = []
    while len(took) < TRIES:
        begin = time.monotonic()
        client = ControlClient.connect(store)
        assert client is not None
        with client:
            answer = client.ask(verb)
        took.append(time.monotonic() - begin)
        if took[-1] < most_seconds:
            return answer
    pytest.fail(f"{verb} took {took} s")


def ask_info(store: Path) -> dict[str, Any]:
    """What the daemon answers, which must not take long."""
    return ask(store, "info", ANSWER_SECONDS)


def ask_requests(store: Path) -> dict[str, Any]:
    """What was asked of the mount so far, which takes no time at all (`info` waits two seconds)."""
    requests: dict[str, Any] = ask(store, "requests", 1.5)["requests"]
    return requests


def wait_until(store: Path, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Until the daemon tells so; the facts of that moment."""
    end = time.monotonic() + 60
    while not is_so(facts := ask_info(store)):
        assert time.monotonic() < end, facts
        time.sleep(0.1)
    return facts


def wait_until_stuck(store: Path, seconds: float = 2.5, what: str = "log/chunk-") -> dict[str, Any]:
    """Until some call to the disk has taken so long."""
    return wait_until(
        store,
        lambda facts: any(wait["seconds"] >= seconds and what in wait["what"] for wait in facts["waiting"]),
    )


def start_writer(mounted: MountedStore) -> subprocess.Popen[str]:
    writer = start_python(WRITER, cwd=mounted.path)
    assert writer.stdout is not None
    for _ in range(3):
        writer.stdout.readline()
    return writer


def start_verbs(mounted: MountedStore, *verbs: str) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [*VFS, verb, str(mounted.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for verb in verbs
    ]


def error_of(process: subprocess.Popen[str]) -> str:
    """The one line with which a verb failed."""
    said, error = process.communicate(timeout=60)
    assert process.returncode != 0, said
    assert error.count("\n") == 1, error
    return error


@pytest.fixture
def hanging(disk: LoopDisk, tmp_path: Path) -> Iterator[MountedStore]:
    """A mounted store on a disk that may be frozen; at the end all goes on, and the store is sound."""
    mounted = MountedStore(tmp_path, disk=disk.path)  # its words go elsewhere: to say one is not to wait
    mounted.command = (sys.executable, "-m", impatient_daemon.__name__)
    mounted.mount()
    try:
        yield mounted
        disk.thaw()
        mounted.finish()
    finally:
        disk.thaw()
        mounted.abandon()


@pytest.mark.serial
@needs_root
def test_while_the_disk_hangs_info_says_what_is_waited_for(disk: LoopDisk, hanging: MountedStore) -> None:
    wait_until(hanging.store, lambda facts: facts["waiting"] == [])
    writer = start_writer(hanging)
    disk.freeze()
    facts = wait_until_stuck(hanging.store)
    assert any("log/chunk-" in wait["what"] for wait in facts["waiting"]), facts["waiting"]
    assert (facts["pid"], facts["store"]) == (hanging.pid, str(hanging.store))
    assert facts["waiting_requests"] >= 1
    assert facts["logical_bytes"] >= 9
    assert ask_requests(hanging.store)["fsync"]["count"] >= 3
    line = next(line for line in vfs("info", hanging.path).splitlines() if line.startswith("waiting:"))
    assert "log/chunk-" in line
    assert "since" in line
    for process in start_verbs(hanging, "flush", "gc", "fsck"):
        error = error_of(process)
        assert "the disk of the store does not answer: the daemon waits for " in error
        assert "log/chunk-" in error
    error = error_of(*start_verbs(hanging, "umount"))  # two things are in its way, and one is told
    assert "is in use by python" in error or "the daemon waits for " in error
    vfs("umount", "--lazy", hanging.path)
    assert not is_mounted(hanging.path)
    disk.thaw()
    rest = wait_for(writer).split()
    assert hanging.ended() == 0
    hanging.mount()
    content = (hanging.path / "written").read_text().split()
    assert content == [f"{number:08d}" for number in range(int(rest[-1]) + 1)]


@needs_root
def test_an_unmount_says_what_it_waits_for(disk: LoopDisk, hanging: MountedStore) -> None:
    (hanging.path / "file").write_text("data")
    disk.freeze()
    error = error_of(*start_verbs(hanging, "umount"))
    assert "the disk of the store does not answer: the daemon waits for " in error
    disk.thaw()
    assert hanging.ended() == 0
    hanging.mount()
    assert (hanging.path / "file").read_text() == "data"


@needs_root
def test_a_killed_daemon_that_cannot_end_is_named_and_heals_when_the_disk_answers(
    disk: LoopDisk, hanging: MountedStore
) -> None:
    """A thread that waits for a disk keeps its process, and with it the lock and the mount."""
    (hanging.path / "file").write_text("data")
    subprocess.run(["sync", "-f", hanging.path / "file"], check=True, timeout=60)
    disk.freeze()
    with beside(start_python("open('more', 'w')", cwd=hanging.path)) as maker:
        wait_until_stuck(hanging.store, 0.5)
        os.kill(hanging.pid, signal.SIGKILL)
        mounting = subprocess.Popen(
            [*VFS, "mount", str(hanging.store), str(hanging.path)], stderr=subprocess.PIPE, text=True
        )
        assert mounting.stderr is not None
        assert f"waiting for process {hanging.pid} to end: it was killed" in mounting.stderr.readline()
        disk.thaw()
        _, said = mounting.communicate(timeout=60)
        assert mounting.returncode == 0, said
        maker.communicate(timeout=60)
    assert hanging.ended() == -signal.SIGKILL
    assert (hanging.path / "file").read_text() == "data"
    vfs("umount", hanging.path)
    hanging.mount()


@pytest.mark.serial
def test_a_slow_sync_is_named_while_all_figures_are_given(mounted: MountedStore, tmp_path: Path) -> None:
    mounted.unmount()
    mounted.command = (sys.executable, "-m", slow_daemon.__name__)
    done = tmp_path / "done"
    mounted.mount("commit=300", environment={"VFS_SLOW_UNTIL": str(done)})
    try:
        (mounted.path / "file").write_bytes(b"x" * 1000)
        syncing = start_python("import os\nos.fsync(os.open('file', os.O_RDWR))", cwd=mounted.path)
        wait_until_stuck(mounted.store, 1.2, "sync of log")
        facts = wait_until(mounted.store, lambda facts: facts["figures_age_seconds"] == 0.0)
        assert [wait["what"] for wait in facts["waiting"]] == ["sync of log"]
        assert facts["waiting"][0]["thread"] == "worker"
        assert facts["logical_bytes"] == 1000
        assert "ratios" in facts
    finally:
        done.touch()
    assert wait_for(syncing) == ""


# Maps a file, and has a thread fetch what is not in memory; meanwhile says what that waits for.
FETCHER = """
import sys, threading, time
from vfs.backing.inflight import calls_under_way
from vfs.backing.storage import DirectoryStorage
file = DirectoryStorage(sys.argv[1]).open("cold")
view = file.map()
print("mapped", flush=True)
sys.stdin.readline()
fetching = threading.Thread(target=file.fault_in, args=(len(view), 0))
fetching.start()
while not (calls := calls_under_way(0.5)):
    time.sleep(0.01)
print(calls[0].what, flush=True)
sys.stdin.readline()
fetching.join()
print(bytes(view).count(b"x"), flush=True)
"""


def test_a_cold_read_that_hangs_stops_no_other_thread(mounted: MountedStore) -> None:
    """The disk is a mount of ours whose daemon is stopped: it answers nothing until it is let go on."""
    (mounted.path / "cold").write_bytes(b"x" * 100_000)
    mounted.remount()
    fetcher = start_python(FETCHER, mounted.path, cwd=ROOT)
    assert fetcher.stdout is not None
    assert fetcher.stdin is not None
    assert fetcher.stdout.readline() == "mapped\n"
    os.kill(mounted.pid, signal.SIGSTOP)
    try:
        fetcher.stdin.write("\n")
        fetcher.stdin.flush()
        ready, _, _ = select.select([fetcher.stdout], [], [], 60)
        assert ready, "every thread stands still"
        assert fetcher.stdout.readline() == "read of cold\n"
    finally:
        os.kill(mounted.pid, signal.SIGCONT)
    fetcher.stdin.write("\n")
    assert wait_for(fetcher) == "100000\n"
