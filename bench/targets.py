"""The file systems under measurement: the floor, the host directory and vfs, mounted the same way.

Promises to stop and unmount what it started, also after a failure, and to remove only folders it made.
It never looks inside a store.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from zstandard import ZSTD_VERSION

from bench.processes import die_with_parent, is_mounted

START_SECONDS = 120.0
STOP_SECONDS = 60.0
BUSY_SECONDS = 5.0
POLL_SECONDS = 0.005
ENDING = (signal.SIGINT, signal.SIGTERM)


class TargetFailed(Exception):
    """A target could not be mounted or unmounted; the text says why."""


class Daemon:
    """One mounted file system served by a child process in the foreground."""

    def __init__(self, command: list[str], mountpoint: Path, log: Path) -> None:
        self.mountpoint = mountpoint
        self._log = log
        mountpoint.mkdir(parents=True, exist_ok=True)
        begin = time.perf_counter()
        with contextlib.ExitStack() as started:
            # A signal in between would leave a daemon that nobody knows of.
            with undisturbed(), log.open("ab") as output:
                # A session of its own keeps the terminal's ctrl-C from the daemon: it is stopped in order.
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=_stop_with_runner,
                    cwd=Path(__file__).parent.parent,
                )
                started.callback(self.stop)
            self._wait_until_mounted()
            os.stat(mountpoint)
            started.pop_all()
        self.start_seconds = time.perf_counter() - begin

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def _wait_until_mounted(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_mounted(str(self.mountpoint)):
            if not self.alive():
                raise TargetFailed(f"the daemon ended before it mounted: {self._last_words()}")
            if time.monotonic() > deadline:
                raise TargetFailed(f"not mounted after {START_SECONDS:.0f} s: {self._last_words()}")
            time.sleep(POLL_SECONDS)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """Unmount and wait for the daemon; force it when it does not go."""
        deadline = time.monotonic() + BUSY_SECONDS
        while is_mounted(str(self.mountpoint)) and self.alive() and time.monotonic() < deadline:
            if _fusermount("-u", self.mountpoint):
                break
            time.sleep(0.1)
        for sent in (None, signal.SIGTERM, signal.SIGKILL):
            if sent is not None:
                self._process.send_signal(sent)
            # A daemon that is unmounted may take long to close its store; one that is not, waits for nothing.
            patience = BUSY_SECONDS if is_mounted(str(self.mountpoint)) else STOP_SECONDS
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
                break
        if is_mounted(str(self.mountpoint)):
            _fusermount("-uz", self.mountpoint)


def _stop_with_runner() -> None:
    die_with_parent(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def _fusermount(flag: str, mountpoint: Path) -> bool:
    command = ["fusermount3", flag, str(mountpoint)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Target(Protocol):
    """A kind of file system that can be put at a folder with a set of options."""

    name: str
    remountable: bool
    """A new daemon finds what the old one held."""

    def start(self, home: Path, options: frozenset[str]) -> Daemon | None:
        """Mount at home/mount, with whatever it keeps under `home`; None where nothing is mounted."""

    def upkeep(self, mountpoint: Path) -> dict[str, list[str]]:
        """Commands that make the target do now what it would do some time: "flush", "gc"."""

    def version(self) -> str: ...


class HostDirectory:
    """The plain directory that also holds the stores."""

    name = "host"
    remountable = False

    def start(self, home: Path, options: frozenset[str]) -> Daemon | None:
        (home / "mount").mkdir(parents=True, exist_ok=True)
        return None

    def upkeep(self, mountpoint: Path) -> dict[str, list[str]]:
        return {}

    def version(self) -> str:
        return "plain directory"


class FloorTarget:
    """bench.floor in a process of its own."""

    name = "floor"
    remountable = False

    def start(self, home: Path, options: frozenset[str]) -> Daemon | None:
        flags = [f"--{option}" for option in sorted(options)]
        command = [sys.executable, "-m", "bench.floor", str(home / "mount"), *flags]
        return Daemon(command, home / "mount", home / "log")

    def upkeep(self, mountpoint: Path) -> dict[str, list[str]]:
        return {}

    def version(self) -> str:
        return "bench.floor"


class VfsTarget:
    """The vfs command, as a user starts it, in the foreground."""

    name = "vfs"
    remountable = True

    def __init__(self, program: str) -> None:
        self._program = program

    def start(self, home: Path, options: frozenset[str]) -> Daemon | None:
        store = home / "store"
        if not store.exists():
            made = self._run("mkfs", str(store))
            if made.returncode != 0:
                raise TargetFailed(f"mkfs failed: {made.stderr.strip() or made.stdout.strip()}")
        command = [self._program, "mount", str(store), str(home / "mount"), "--foreground"]
        if options:
            command += ["-o", ",".join(sorted(options))]
        return Daemon(command, home / "mount", home / "log")

    def upkeep(self, mountpoint: Path) -> dict[str, list[str]]:
        return {verb: [self._program, verb, str(mountpoint)] for verb in ("flush", "gc")}

    def version(self) -> str:
        return self._run("--version").stdout.strip()

    def ready(self, verb: str = "mount") -> str | None:
        """None when the program can do `verb`, otherwise the reason why not."""
        try:
            answered = self._run(verb, "--help").returncode == 0
        except OSError as error:
            return f"{self._program}: {error.strerror}"
        return None if answered else f"{self._program} {verb} --help fails"

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self._program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


class CompressorTarget:
    """zstd in memory: the reference for compressing writes, without any file system."""

    name = "zstd"
    remountable = False

    def start(self, home: Path, options: frozenset[str]) -> Daemon | None:
        return None

    def upkeep(self, mountpoint: Path) -> dict[str, list[str]]:
        return {}

    def version(self) -> str:
        return ".".join(map(str, ZSTD_VERSION))


def default_program() -> str:
    """The vfs command of the environment that runs the bench, else of the checkout's .venv."""
    beside = Path(sys.executable).parent / "vfs"
    return str(beside if beside.exists() else Path(__file__).parent.parent / ".venv" / "bin" / "vfs")


class Mounts:
    """All that is mounted in one round, by target and options, each in a folder of its own."""

    def __init__(self, folder: Path, targets: Mapping[str, Target]) -> None:
        self._folder = folder
        self._targets = targets
        self._homes: dict[tuple[str, frozenset[str]], Path] = {}
        self._daemons: dict[tuple[str, frozenset[str]], Daemon | None] = {}
        self._numbers = itertools.count()

    def root(self, name: str, options: frozenset[str]) -> Path:
        """The folder to work in, mounted first if it is not."""
        key = (name, options)
        daemon = self._daemons.get(key)
        if key not in self._daemons or (daemon is not None and not daemon.alive()):
            self.stop(name, options)
            self._start(key)
        return self._homes[key] / "mount"

    def daemon(self, name: str, options: frozenset[str]) -> Daemon | None:
        return self._daemons.get((name, options))

    def stop(self, name: str, options: frozenset[str]) -> None:
        daemon = self._daemons.pop((name, options), None)
        if daemon is not None:
            daemon.stop()

    def _start(self, key: tuple[str, frozenset[str]]) -> None:
        name, options = key
        home = self._homes.setdefault(key, self._folder / "-".join([name, *sorted(options)]))
        home.mkdir(parents=True, exist_ok=True)
        self._daemons[key] = self._targets[name].start(home, options)

    def start_seconds(self, name: str) -> float:
        """How long it takes to mount one that holds nothing; unmounted again on return."""
        home = self._folder / f"fresh-{next(self._numbers)}"
        home.mkdir()
        daemon = self._targets[name].start(home, frozenset())
        if daemon is None:
            raise TargetFailed(f"{name} is not mounted by a daemon")
        daemon.stop()
        return daemon.start_seconds

    def close(self) -> None:
        for name, options in list(self._daemons):
            self.stop(name, options)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """No signal of the user ends this block, nor programs that run in it: half a clean-up would leave mounts
    behind. One that came meanwhile counts as soon as the block has ended."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def mounted_below(folder: Path) -> list[str]:
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [place for place in places if place.startswith(f"{folder}/")]


@contextlib.contextmanager
def mounts(parent: Path, targets: Mapping[str, Target]) -> Iterator[Mounts]:
    """Mounts in a fresh folder under `parent`, all gone at the end."""
    folder = parent / "round"
    folder.mkdir()
    mounted = Mounts(folder, targets)
    try:
        yield mounted
    finally:
        with undisturbed():
            mounted.close()
            if left := mounted_below(folder):
                # Removing the folder would reach into what is still mounted there.
                raise TargetFailed(f"still mounted, so {folder} was not removed: {', '.join(left)}")
            shutil.rmtree(folder)
