"""Where chains of programs work: the floor, the host's directory, btrfs on a loop file, vfs.

Promises that nothing stays mounted, and that `forget` empties the kernel's caches. It never measures.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.keepers import Btrfs
from bench.processes import DROP_EVERYTHING, can_drop_caches, drop_caches, readahead_file
from bench.programs import run
from bench.sizes import MIB
from bench.targets import Daemon, FloorTarget, Target, VfsTarget, undisturbed

LOOP_BYTES = 8192 * MIB
ZSTD_LEVEL = 1


class Opened(Protocol):
    """A ground that is mounted."""

    @property
    def root(self) -> Path: ...

    @property
    def pid(self) -> int | None:
        """Of the daemon, where there is one."""

    def forget(self) -> None:
        """Write back, drop what the kernel keeps in memory, and start the daemon anew if it can be."""


class Ground(Protocol):
    name: str

    def ready(self) -> str | None:
        """None, or why it cannot be used here."""

    def version(self) -> str: ...

    def open(self, home: Path) -> contextlib.AbstractContextManager[Opened]:
        """Empty, somewhere in the empty folder `home`; unmounted at the end."""


def forget_pages() -> None:
    """Nothing is in the kernel's caches any more that can be read again."""
    run(["sync"], Path("/"))
    drop_caches(DROP_EVERYTHING)


# -- the host's directory ------------------------------------------------------------------------


@dataclass
class Directory:
    root: Path
    pid: None = None

    def forget(self) -> None:
        forget_pages()


class HostGround:
    """A plain directory beside the stores."""

    name = "host"

    def ready(self) -> str | None:
        return None

    def version(self) -> str:
        return "plain directory"

    @contextlib.contextmanager
    def open(self, home: Path) -> Iterator[Opened]:
        root = home / "mount"
        root.mkdir()
        yield Directory(root)


# -- daemons -------------------------------------------------------------------------------------


@dataclass
class Served:
    """A mount of a daemon; one that keeps everything in memory goes on when the kernel forgets."""

    target: Target
    home: Path
    readahead_kib: int | None
    daemon: Daemon = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        daemon = self.target.start(self.home, frozenset())
        assert daemon is not None, "the floor and vfs are daemons"
        self.daemon = daemon
        if self.readahead_kib is not None:
            with contextlib.suppress(
                PermissionError
            ):  # not root: it has the kernel's default, and so has vfs
                readahead_file(str(self.root)).write_text(str(self.readahead_kib))

    @property
    def root(self) -> Path:
        return self.home / "mount"

    @property
    def pid(self) -> int:
        return self.daemon.pid

    def forget(self) -> None:
        if not self.target.remountable:
            forget_pages()
            return
        self.daemon.stop()
        forget_pages()
        self.start()


class DaemonGround:
    """The floor or vfs."""

    def __init__(self, target: Target) -> None:
        self.name = target.name
        self.readahead_kib: int | None = None
        """What the mount is to have instead of the readahead that it takes by itself."""
        self._target = target

    def ready(self) -> str | None:
        return self._target.ready() if isinstance(self._target, VfsTarget) else None

    def version(self) -> str:
        return self._target.version()

    @contextlib.contextmanager
    def open(self, home: Path) -> Iterator[Opened]:
        served = Served(self._target, home, self.readahead_kib)
        try:
            yield served
        finally:
            with undisturbed():
                served.daemon.stop()


# -- btrfs ---------------------------------------------------------------------------------------


class Looped:
    """btrfs that can be unmounted and mounted again on the same image."""

    pid: None = None

    def __init__(self, btrfs: Btrfs, home: Path) -> None:
        self.root = home / "mount"
        self._btrfs, self._home = btrfs, home

    def forget(self) -> None:
        self._btrfs.unmount(self._home)
        forget_pages()
        self._btrfs.mount(self._home)


class BtrfsGround:
    """btrfs on a loop file, compressing at the level that is quickest."""

    name = "btrfs"

    def __init__(self) -> None:
        self._btrfs = Btrfs(level=ZSTD_LEVEL)

    def ready(self) -> str | None:
        return self._btrfs.ready()

    def version(self) -> str:
        return self._btrfs.version()

    @contextlib.contextmanager
    def open(self, home: Path) -> Iterator[Opened]:
        with self._btrfs.mounted(home, loop_bytes=LOOP_BYTES):
            yield Looped(self._btrfs, home)


def grounds(program: str) -> dict[str, Ground]:
    """All of them by name, in the order of the report's columns."""
    every: tuple[Ground, ...] = (
        DaemonGround(FloorTarget()),
        HostGround(),
        BtrfsGround(),
        DaemonGround(VfsTarget(program)),
    )
    return {ground.name: ground for ground in every}


def same_readahead(chosen: dict[str, Ground], home: Path) -> int | None:
    """Give the floor the readahead that vfs asks for, in KiB, found on a mount in the empty folder `home`."""
    floor, vfs = chosen.get("floor"), chosen.get("vfs")
    if not (isinstance(floor, DaemonGround) and isinstance(vfs, DaemonGround)) or not can_drop_caches():
        return None
    with vfs.open(home) as opened:
        floor.readahead_kib = int(readahead_file(str(opened.root)).read_text())
    return floor.readahead_kib
