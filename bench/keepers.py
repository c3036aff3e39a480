"""Programs that keep a folder in less room: vfs mounted and by import, restic, borg, btrfs on a loop file.

Promises that a time ends when the data is durable in its final form, that the room is what the disk gives
away for it, and that nothing stays mounted. It never looks inside what a program keeps.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.datasets import first_difference
from bench.processes import is_mounted
from bench.sizes import MIB
from bench.targets import VfsTarget, undisturbed

LIMIT_SECONDS = 3600.0
ZSTD_LEVEL = 3
KEPT = "kept"
"""Name of the folder in a mount that holds the copy."""

LEAST_LOOP_BYTES = 512 * MIB


class KeeperFailed(Exception):
    """A program did not keep the data; the text is its last line, or what is not the same."""


@dataclass(frozen=True)
class Kept:
    seconds: float
    stored_bytes: int
    steps: dict[str, float] = field(default_factory=dict)
    """Seconds of the parts of the work, where it has parts."""


class Keeper(Protocol):
    name: str

    def ready(self) -> str | None:
        """None, or why it cannot run here."""

    def version(self) -> str: ...

    def keep(self, source: Path, home: Path) -> Kept:
        """Keep all of `source` in the empty folder `home`."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Output of a command that has to succeed; the child is gone whatever ends this."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LIMIT_SECONDS,
        check=False,
        env={**os.environ, **environment} if environment else None,
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise KeeperFailed(f"{' '.join(command[:2])} ended with {done.returncode}: {words}")
    return done.stdout.strip()


def _missing(*programs: str) -> str | None:
    for program in programs:
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


def room(folder: Path) -> int:
    """Bytes that the disk gave away for everything in `folder`."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a file of a living store may go at any moment
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total


# -- vfs -----------------------------------------------------------------------------------------


class _VfsKeeper:
    verb: str
    """What the program has to know for this."""

    def __init__(self, program: str, *, check: bool) -> None:
        self._program = program
        self._target = VfsTarget(program)
        self._check = check

    def ready(self) -> str | None:
        return self._target.ready(self.verb)

    def version(self) -> str:
        return self._target.version()

    @contextlib.contextmanager
    def _mounted(self, home: Path) -> Iterator[Path]:
        daemon = self._target.start(home, frozenset())
        assert daemon is not None
        try:
            yield daemon.mountpoint
        finally:
            daemon.stop()

    def _compare(self, source: Path, home: Path) -> None:
        """The room of data that cannot be read back would say nothing."""
        if not self._check:
            return
        with self._mounted(home) as mountpoint:
            if (name := first_difference(source, mountpoint / KEPT)) is not None:
                raise KeeperFailed(f"not the same when it is read back: {name}")


class VfsMounted(_VfsKeeper):
    """cp -a into the mount, then `vfs flush`."""

    name = "vfs"
    verb = "flush"

    def keep(self, source: Path, home: Path) -> Kept:
        with self._mounted(home) as mountpoint:
            begin = time.perf_counter()
            run(["cp", "-a", str(source), str(mountpoint / KEPT)])
            copied = time.perf_counter()
            run([self._program, "flush", str(mountpoint)])
            end = time.perf_counter()
        kept = Kept(end - begin, room(home / "store"), {"copy": copied - begin, "flush": end - copied})
        self._compare(source, home)
        return kept


class VfsImport(_VfsKeeper):
    """`vfs import` straight into the store, without a mount."""

    name = "vfs-import"
    verb = "import"

    def keep(self, source: Path, home: Path) -> Kept:
        store = home / "store"
        run([self._program, "mkfs", str(store)])
        begin = time.perf_counter()
        run([self._program, "import", str(store), str(source), f"/{KEPT}"])
        seconds = time.perf_counter() - begin
        kept = Kept(seconds, room(store))
        self._compare(source, home)
        return kept


# -- peers ---------------------------------------------------------------------------------------


class Restic:
    """One backup into a new repository, compressed as restic does by default (zstd)."""

    name = "restic"

    def ready(self) -> str | None:
        return _missing("restic")

    def version(self) -> str:
        return run(["restic", "version"])

    def keep(self, source: Path, home: Path) -> Kept:
        repository = home / "repository"
        environment = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(repository)}
        run(["restic", "init", "--quiet", "--no-cache", "--repository-version", "2"], environment)
        begin = time.perf_counter()
        run(["restic", "backup", "--quiet", "--no-cache", str(source)], environment)
        return Kept(time.perf_counter() - begin, room(repository))


class Borg:
    """One archive in a new repository, not encrypted, at the zstd level of vfs."""

    name = "borg"

    def ready(self) -> str | None:
        return _missing("borg")

    def version(self) -> str:
        return run(["borg", "--version"])

    def keep(self, source: Path, home: Path) -> Kept:
        repository = home / "repository"
        environment = {
            "BORG_BASE_DIR": str(home / "base"),
            "BORG_REPO": str(repository),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        run(["borg", "init", "--encryption", "none"], environment)
        begin = time.perf_counter()
        run(["borg", "create", "--compression", f"zstd,{ZSTD_LEVEL}", "::all", str(source)], environment)
        return Kept(time.perf_counter() - begin, room(repository))


class Btrfs:
    """cp -a onto a new btrfs in a file, compressing at the zstd level of vfs; metadata once, not twice."""

    name = "btrfs"

    def __init__(self, level: int = ZSTD_LEVEL) -> None:
        self._level = level

    def ready(self) -> str | None:
        if missing := _missing("mkfs.btrfs", "btrfs", "mount", "umount"):
            return missing
        if os.geteuid() != 0:
            return "mounting a loop file needs root"
        if "\tbtrfs" not in Path("/proc/filesystems").read_text():
            return "this kernel has no btrfs"
        return None if Path("/dev/loop-control").exists() else "there is no /dev/loop-control"

    def version(self) -> str:
        return run(["mkfs.btrfs", "--version"])

    def keep(self, source: Path, home: Path) -> Kept:
        with self.mounted(home, loop_bytes=LEAST_LOOP_BYTES + 2 * room(source)) as mountpoint:
            empty_bytes = self._used(mountpoint)
            begin = time.perf_counter()
            run(["cp", "-a", str(source), str(mountpoint / KEPT)])
            run(["btrfs", "filesystem", "sync", str(mountpoint)])
            seconds = time.perf_counter() - begin
            return Kept(seconds, self._used(mountpoint) - empty_bytes)

    @contextlib.contextmanager
    def mounted(self, home: Path, loop_bytes: int) -> Iterator[Path]:
        image, mountpoint = home / "image", home / "mount"
        mountpoint.mkdir()
        with image.open("wb") as file:
            file.truncate(loop_bytes)
        run(["mkfs.btrfs", "--quiet", "--metadata", "single", "--data", "single", str(image)])
        try:
            self.mount(home)
            yield mountpoint
        finally:
            with undisturbed():
                self.unmount(home)

    def mount(self, home: Path) -> None:
        """The image that is there; the loop device is let go by the kernel with the mount."""
        options = f"loop,compress=zstd:{self._level}"
        run(["mount", "-o", options, str(home / "image"), str(home / "mount")])

    def unmount(self, home: Path) -> None:
        if is_mounted(str(home / "mount")):
            run(["umount", str(home / "mount")])

    def _used(self, mountpoint: Path) -> int:
        run(["btrfs", "filesystem", "sync", str(mountpoint)])
        figures = os.statvfs(mountpoint)
        return (figures.f_blocks - figures.f_bfree) * figures.f_frsize


def keepers(program: str, *, check: bool) -> dict[str, Keeper]:
    """All of them by name; with `check` what vfs kept is compared with its source afterwards."""
    every: tuple[Keeper, ...] = (
        VfsMounted(program, check=check),
        VfsImport(program, check=check),
        Restic(),
        Borg(),
        Btrfs(),
    )
    return {keeper.name: keeper for keeper in every}
