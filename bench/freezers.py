"""What can freeze a folder, compare, bring back and fork it: vfs, btrfs on a loop file, and `cp -a`.

Promises that each does the same work on the same files, and that nothing stays mounted. It never measures.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from bench.keepers import LEAST_LOOP_BYTES, LIMIT_SECONDS, Btrfs, KeeperFailed, run
from bench.targets import VfsTarget
from vfs.mount.client import ControlClient

LOOP_BYTES_A_FILE = 8192
"""Room in the loop file: btrfs needs about one of its 16 KiB pages for a hundred small inodes."""


class Frozen(Protocol):
    """A folder with all files in it, and what one can do with it."""

    work: Path

    def create(self, name: str) -> None:
        """Freeze it under a new name; durable on return."""

    def diff(self, name: str) -> int:
        """Compare it with what it was then; how many files differ."""

    def clone(self, name: str, number: int) -> None:
        """Make what it was then a second folder, to be written to."""

    def rollback(self, name: str) -> None:
        """Make it what it was then."""


class Freezer(Protocol):
    name: str

    def ready(self) -> str | None:
        """None, or why it cannot run here."""

    def version(self) -> str: ...

    def hold(
        self, source: Path, files: int, home: Path
    ) -> contextlib.AbstractContextManager[Mapping[str, Frozen]]:
        """Bring all of `source` into the empty folder `home`; by name the ways to work with it."""


# -- vfs -----------------------------------------------------------------------------------------


class VfsCommands:
    """As a user types them: the start of the program counts."""

    def __init__(self, program: str, work: Path) -> None:
        self._program = program
        self.work = work

    def _run(self, verb: str, *arguments: str) -> str:
        return run([self._program, *verb.split(), str(self.work), *arguments])

    def create(self, name: str) -> None:
        self._run("snapshot create", name)

    def diff(self, name: str) -> int:
        return len(self._run("diff", name).splitlines())

    def clone(self, name: str, number: int) -> None:
        self._run("clone", name, f"/clone-{number}")

    def rollback(self, name: str) -> None:
        self._run("rollback", name)


class VfsDaemon:
    """As a program asks the daemon, which is running already."""

    def __init__(self, store: Path, work: Path) -> None:
        self._store = store
        self.work = work

    def _ask(self, verb: str, **arguments: Any) -> list[Any]:
        found: list[Any] = []
        client = ControlClient.connect(self._store)
        assert client is not None, "it is mounted"
        with client:
            client.ask(verb, on_page=found.extend, **arguments)
        return found

    def create(self, name: str) -> None:
        self._ask("snapshot_create", name=name, comment="")

    def diff(self, name: str) -> int:
        return len(self._ask("diff", old=name))

    def clone(self, name: str, number: int) -> None:
        self._ask("clone", source=name, path=f"/asked-{number}", top="/")

    def rollback(self, name: str) -> None:
        self._ask("rollback", name=name)


class VfsFreezer:
    """A mounted store, which held the files before it was mounted."""

    name = "vfs"

    def __init__(self, program: str) -> None:
        self._program = program
        self._target = VfsTarget(program)

    def ready(self) -> str | None:
        return self._target.ready("diff")

    def version(self) -> str:
        return self._target.version()

    @contextlib.contextmanager
    def hold(self, source: Path, files: int, home: Path) -> Iterator[Mapping[str, Frozen]]:
        store = home / "store"
        run([self._program, "mkfs", str(store)])
        run([self._program, "import", str(store), str(source)])
        daemon = self._target.start(home, frozenset())
        assert daemon is not None, "it is mounted"
        try:
            yield {
                "vfs": VfsCommands(self._program, daemon.mountpoint),
                "vfs-daemon": VfsDaemon(store, daemon.mountpoint),
            }
        finally:
            daemon.stop()


# -- peers ---------------------------------------------------------------------------------------


class BtrfsSubvolume:
    """A subvolume. Only two that cannot change are compared, so a diff freezes it first."""

    def __init__(self, mountpoint: Path) -> None:
        self._mountpoint = mountpoint
        self._passed = 0
        self.work = mountpoint / "work"

    def _at(self, name: str) -> str:
        return str(self._mountpoint / name)

    def _snapshot(self, source: str, name: str, *options: str) -> None:
        run(["btrfs", "subvolume", "snapshot", *options, self._at(source), self._at(name)])

    def create(self, name: str) -> None:
        self._snapshot("work", name, "-r")

    def diff(self, name: str) -> int:
        self._snapshot("work", "now", "-r")
        stream = self._at("stream")
        run(["btrfs", "send", "--quiet", "--no-data", "-p", self._at(name), "-f", stream, self._at("now")])
        told = run(["btrfs", "receive", "--dump", "-f", stream])
        os.unlink(stream)
        run(["btrfs", "subvolume", "delete", self._at("now")])
        return sum(line.startswith(("update_extent", "write")) for line in told.splitlines())

    def clone(self, name: str, number: int) -> None:
        self._snapshot(name, f"clone-{number}")

    def rollback(self, name: str) -> None:
        self._passed += 1
        before = f"before-{self._passed}"
        os.rename(self.work, self._at(before))
        self._snapshot(name, "work")
        run(["btrfs", "filesystem", "sync", self._at("work")])


class BtrfsFreezer:
    """btrfs in a file, mounted through a loop device."""

    name = "btrfs"

    def __init__(self) -> None:
        self._btrfs = Btrfs()

    def ready(self) -> str | None:
        return self._btrfs.ready()

    def version(self) -> str:
        return self._btrfs.version()

    @contextlib.contextmanager
    def hold(self, source: Path, files: int, home: Path) -> Iterator[Mapping[str, Frozen]]:
        size = LEAST_LOOP_BYTES + files * LOOP_BYTES_A_FILE
        with self._btrfs.mounted(home, loop_bytes=size) as mountpoint:
            run(["btrfs", "subvolume", "create", str(mountpoint / "work")])
            run(["cp", "-a", f"{source}/.", str(mountpoint / "work")])
            run(["btrfs", "filesystem", "sync", str(mountpoint)])
            yield {"btrfs": BtrfsSubvolume(mountpoint)}


class Copies:
    """A folder of the host, and copies of it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.work = home / "work"

    def _copy(self, source: str, dest: str) -> None:
        run(["cp", "-a", str(self._home / source), str(self._home / dest)])
        run(["sync", "-f", str(self._home)])

    def create(self, name: str) -> None:
        self._copy("work", name)

    def diff(self, name: str) -> int:
        done = subprocess.run(
            ["diff", "-rq", "--no-dereference", str(self._home / name), str(self.work)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        if done.returncode > 1:
            raise KeeperFailed(f"diff ended with {done.returncode}: {done.stderr.strip()}")
        return len(done.stdout.splitlines())

    def clone(self, name: str, number: int) -> None:
        self._copy(name, f"clone-{number}")
        shutil.rmtree(self._home / f"clone-{number}")

    def rollback(self, name: str) -> None:
        shutil.rmtree(self.work)
        self._copy(name, "work")


class CopyFreezer:
    """What one does without any of this."""

    name = "cp"

    def ready(self) -> str | None:
        return None

    def version(self) -> str:
        return run(["cp", "--version"]).splitlines()[0]

    @contextlib.contextmanager
    def hold(self, source: Path, files: int, home: Path) -> Iterator[Mapping[str, Frozen]]:
        run(["cp", "-a", str(source), str(home / "work")])
        yield {"cp": Copies(home)}


def freezers(program: str) -> dict[str, Freezer]:
    """All of them by name."""
    every: tuple[Freezer, ...] = (VfsFreezer(program), BtrfsFreezer(), CopyFreezer())
    return {freezer.name: freezer for freezer in every}
