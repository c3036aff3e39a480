"""`vfs restore` on the real mount, of what programs hold open and the kernel knows by heart; and without."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore, vfs
from tests.trees.material import describe, make_everything
from vfs.cli import copy as copy_command
from vfs.cli.restore import restore
from vfs.errors import NoEntry, SnapshotError
from vfs.mount.client import Refused

pytestmark = pytest.mark.mounted


@pytest.fixture
def frozen(mounted: MountedStore) -> MountedStore:
    """A mounted store with a tree in `top`, of which there is a snapshot called `before`."""
    make_everything(mounted.path / "top", sockets=True)
    vfs("snapshot", "create", mounted.path, "before")
    return mounted


def test_what_programs_hold_and_the_kernel_knows(frozen: MountedStore) -> None:
    top = frozen.path / "top"
    whole = describe(top)
    part = describe(top / "folder")
    with open(top / "large", "r+b", buffering=0) as held:
        held.write(b"changed, and not written out yet")
        inside = os.open(top / "folder", os.O_RDONLY)
        (top / "folder" / "new").write_bytes(b"not of that day")
        (top / "folder" / "later").mkdir()
        new, later = (os.open(top / "folder" / name, os.O_RDONLY) for name in ("new", "later"))
        (top / "folder" / "further name").unlink()
        (top / "empty").unlink()
        deep = next(path for path in top.iterdir() if path.name.startswith("00-"))
        bottom = next(Path(folder) / "bottom" for folder, _, names in os.walk(deep) if "bottom" in names)
        shutil.rmtree(deep)
        assert not (top / "empty").exists(), "the kernel keeps that it is not there"
        assert not deep.exists()
        out = json.loads(
            vfs(
                *("restore", "--json", frozen.path, "before", "/top/large", top / "folder"),
                *("top/empty", bottom),
            )
        )
        assert out["paths"][:3] == ["/top/large", "/top/folder", "/top/empty"]
        assert (top / "empty").read_bytes() == b""
        assert bottom.read_bytes() == b"deep"
        assert os.stat(deep).st_mtime_ns == whole[os.fsencode(deep.name)]["mtime"]
        assert (top / "large").stat().st_size == whole[b"large"]["size"]
        assert os.pread(held.fileno(), 7, 0) == b"changed"
        held.write(b" and goes on")
        assert os.listdir(inside) == [], "the old folder is a removed one"
        for gone in ("new", "later"):
            with pytest.raises(FileNotFoundError):
                os.stat(gone, dir_fd=inside)
        assert os.read(new, 99) == b"not of that day"
        for held_open in (inside, new, later):
            os.close(held_open)
    now = describe(top)
    for path in (b"large", b"empty"):
        assert now[path] == whole[path]
    again = describe(top / "folder")
    for name in part:
        part[name].pop("same as", None)  # its other names lie outside
    assert again == part
    (top / "large").write_bytes(b"writable")
    frozen.remount()
    assert (top / "large").read_bytes() == b"writable"
    vfs("restore", frozen.store, "before", "/top")
    assert describe(top) == whole
    frozen.unmount()
    said = vfs("restore", frozen.store, "before", "/top/large")
    assert said.startswith("restored /top/large from before: 1 file, 0 folders, ")
    frozen.mount()
    assert describe(top)[b"large"] == whole[b"large"]


def test_copies_out_of_a_snapshot_and_wrong_words(frozen: MountedStore) -> None:
    def copy(source: str, dest: str) -> None:
        paths = (str(frozen.path / source), str(frozen.path / dest))
        copy_command.copy(*paths, None, lambda *_: None, replace=False)

    (frozen.path / "top" / "small").write_bytes(b"changed")
    copy(".snapshots/before/top", "beside")
    assert describe(frozen.path / "beside") == describe(frozen.path / ".snapshots" / "before" / "top")
    with pytest.raises(Refused, match="what lies in a snapshot never changes"):
        copy("top/small", ".snapshots/before")

    def ask(name: str, path: str) -> None:
        restore(frozen.path, name, [path], lambda *_: None)

    with pytest.raises(Refused, match="no snapshot is called 'after'"):
        ask("after", "/top")
    with pytest.raises(Refused, match="no /missing in snapshot 'before'"):
        ask("before", "/missing")
    frozen.unmount()
    for error, name, path in ((SnapshotError, "after", "/top"), (NoEntry, "before", "/top/missing")):
        with pytest.raises(error):
            restore(frozen.store, name, [path], lambda *_: None)
    frozen.mount("ro")
    with pytest.raises(Refused, match="read-only"):
        ask("before", "/top")
