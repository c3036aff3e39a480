"""A mount in the hands of a test: starting it, using it, asking whether it is there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cli.shell import vfs
from vfs.mount.mountinfo import mounts_of, read_mounts
from vfs.mount.owner import find_owner


def mount(store: Path, point: Path, *options: str, warning: str = "") -> int:
    """Mount in the background and return the daemon's pid."""
    ran = vfs("mount", store, point, *options)
    assert (ran.code, ran.err) == (0, warning)
    owner = find_owner(store)
    assert owner is not None
    assert owner.pid is not None
    assert ran.out.startswith(f"mounted {store} at {point} (pid {owner.pid}); unmount with: vfs umount ")
    return owner.pid


def is_mounted(store: Path) -> bool:
    return bool(mounts_of(store, read_mounts()))


def log_of(store: Path) -> str:
    return (store / "vfs.log").read_text("utf-8", errors="surrogateescape")


def open_files(pid: int) -> set[str]:
    """What a process has open; nothing for one that has ended."""
    found: set[str] = set()
    with suppress(FileNotFoundError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it closes something at this moment
                found.add(os.readlink(link))
    return found


@contextmanager
def program_inside(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that works in the folder and has a file of it open."""
    code = "import time; f = open('held', 'a'); f.write('x'); f.flush(); print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        try:
            yield program
        finally:
            program.kill()
