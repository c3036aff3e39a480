"""One store on the real mount, for a test: mounted, remounted, killed and checked, through the command line.
With `disk`, the store lies in another folder than its mount point and the daemon's words.

Promises that nothing stays behind: a daemon that hangs is killed after a while, so that the test fails
instead of hanging with it. Ends only processes that it started, by their pid.
"""

import atexit
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

import vfs as library
from vfs.checks.report import report_fields

VFS = (sys.executable, "-m", "vfs")
ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0
HANGING_SECONDS = 300.0
"""Below the time-out of a test: a test that waits for a dead mount gets an error and can say so."""

WORRY = re.compile(r"^.*(?:Traceback|\bERROR\b|\bCRITICAL\b).*$", re.MULTILINE)


def vfs(*arguments: str | Path, exit_code: int = 0) -> str:
    """Run the command and return what it printed; AssertionError with all its words for another exit code."""
    done = subprocess.run(
        [*VFS, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HANGING_SECONDS,
        check=False,
    )
    assert done.returncode == exit_code, (
        f"vfs {arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stdout


@cache
def _empty_store() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    vfs("mkfs", folder / "store")
    return folder / "store"


def copy_of_an_empty_store(target: Path) -> None:
    """A new store. `vfs mkfs` runs once and is copied, which is as good and saves some time in each test."""
    shutil.copytree(_empty_store(), target)


class MountedStore:
    """A store with its mount point. `path` is where the files are, `pid` the daemon that serves them.

    INVARIANT: `_daemon` is set exactly while we have a daemon that was not waited for.
    """

    def __init__(self, folder: Path, *options: str, disk: Path | None = None) -> None:
        self.store = (disk or folder) / "store"
        self.path = folder / "mnt"
        self.log = folder / "daemon.log"
        self.command: tuple[str, ...] = VFS
        self.options = options
        self.hanging_seconds = HANGING_SECONDS
        self._daemon: subprocess.Popen[bytes] | None = None
        self._watchdog: threading.Timer | None = None
        self.path.mkdir(parents=True)
        if disk is None:
            copy_of_an_empty_store(self.store)
        else:
            vfs("mkfs", self.store)  # on a disk that fails later, a copy would have to be synced

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self._daemon is not None, "not mounted"
        return self._daemon.pid

    def mount(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Start the daemon and return when it says that it is ready, as `vfs mount` does."""
        assert self._daemon is None
        self.options = options
        given = [word for option in options for word in ("-o", option)]
        reading, writing = os.pipe2(os.O_CLOEXEC)
        ready = (f"--ready-fd={writing}", "--log-to-stderr")
        with open(reading, "rb") as pipe:
            with open(writing, "wb"), open(self.log, "ab") as log:
                daemon = subprocess.Popen(
                    [*self.command, "mount", "--foreground", *ready, *given, str(self.store), str(self.path)],
                    cwd=ROOT,
                    env={**os.environ, **(environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,),
                )
            self._daemon = daemon
            self.watch()
            self._wait_until_ready(daemon, pipe)

    def watch(self) -> None:
        """From now on the daemon has its time before it is killed: another test begins."""
        assert self._daemon is not None
        self._stop_watching()
        self._watchdog = threading.Timer(self.hanging_seconds, self._daemon.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def _stop_watching(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()

    def _wait_until_ready(self, daemon: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        # That it answers requests says less: it may still be setting what the kernel reads ahead.
        came, _, _ = select.select([pipe], [], [], READY_SECONDS)
        assert came, f"not mounted in time:\n{self.log_text()}"
        said = pipe.readline()
        assert b'"ready"' in said, f"the daemon ended with {daemon.wait(timeout=60)}:\n{self.log_text()}"

    def unmount(self) -> None:
        """Unmount; the daemon has ended without complaint when this returns."""
        vfs("umount", self.path)
        assert self.ended() == 0, self.log_text()

    def unmount_failed(self) -> str:
        """Unmount a store that has failed; returns what the command told on standard error."""
        done = subprocess.run(
            [*VFS, "umount", str(self.path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, ""), f"{done}"
        assert self.ended() == 1, self.log_text()
        assert not is_mounted(self.path)
        return done.stderr

    def remount(self, *options: str) -> None:
        """Unmount cleanly and mount again, with the same options when none are given."""
        self.unmount()
        self.mount(*(options or self.options))

    def kill(self) -> None:
        """kill -9 of the daemon, and the mount that it leaves behind is cleared."""
        self.kill_daemon()
        self.clear()

    def kill_daemon(self) -> None:
        """kill -9 of the daemon; its dead mount stays, where programs get errors and not the folder below."""
        assert self._daemon is not None, "not mounted"
        self._daemon.kill()
        self.ended()

    def clear(self) -> None:
        """Take the dead mount away."""
        vfs("umount", "--lazy", self.path)
        assert not is_mounted(self.path)

    def ended(self) -> int:
        """Wait for the daemon to end; its exit code."""
        assert self._daemon is not None
        code = self._daemon.wait(timeout=60)
        self._daemon = None
        self._stop_watching()
        return code

    def fsck(self) -> dict[str, Any]:
        """Check the store, mounted or not; AssertionError unless it is clean."""
        # Of a store that nobody serves the library says the same, without the start of one more process.
        report: dict[str, Any] = (
            report_fields(library.check(self.store))
            if self._daemon is None
            else json.loads(vfs("fsck", "--json", self.store))
        )
        assert report["clean"] is True, report
        assert not report["problems"], report
        return report

    def info(self) -> dict[str, Any]:
        """What `vfs info` tells, with all figures: while the disk is slow it has none of this moment."""
        end = time.monotonic() + READY_SECONDS
        while True:
            facts: dict[str, Any] = json.loads(vfs("info", "--json", self.path))
            if facts["figures_age_seconds"] == 0:
                return facts
            assert time.monotonic() < end, f"the daemon waits for {facts['waiting']}"

    def log_text(self) -> str:
        """All that the daemons of this store said."""
        return self.log.read_text("utf-8", errors="replace")

    def finish(self) -> None:
        """The end of every test: unmounts cleanly, the store is sound, the daemon complained of nothing."""
        try:
            if self._daemon is not None:
                self.unmount()
            self.fsck()
            worries = WORRY.findall(self.log_text())
            assert not worries, f"{worries[:3]}\n{self.log_text()[-3000:]}"
        finally:
            self.abandon()

    def abandon(self) -> None:
        """What must not stay behind when an assertion above failed."""
        if self._daemon is not None:
            self._daemon.kill()
            self.ended()
        if is_mounted(self.path):
            subprocess.run(["umount", "--lazy", str(self.path)], check=False)


def is_mounted(path: Path) -> bool:
    """True when something is mounted there; does not ask that something, which may be dead."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return str(path) in points
