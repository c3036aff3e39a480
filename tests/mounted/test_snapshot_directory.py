"""The directory of snapshots on the real mount: found, listed on demand, never changed. One mounted alone."""

import errno
import os
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import run
from tests.mounted.rolling import freeze, refused, roll_back
from tests.mounted.trees import describe, plant

pytestmark = pytest.mark.mounted


def change_everything(root: Path) -> None:
    """Every kind of change below a folder must be refused as on a read-only file system."""
    file, folder = root / "tree" / "holes", root / "tree"
    calls = {
        "open": lambda: os.open(file, os.O_WRONLY),
        "open for both": lambda: os.open(file, os.O_RDWR),
        "truncate by open": lambda: os.open(file, os.O_WRONLY | os.O_TRUNC),
        "create": lambda: os.open(folder / "new", os.O_CREAT | os.O_WRONLY),
        "mkdir": lambda: os.mkdir(folder / "new"),
        "symlink": lambda: os.symlink("to", folder / "new"),
        "mkfifo": lambda: os.mkfifo(folder / "new"),
        "link": lambda: os.link(file, folder / "new"),
        "unlink": lambda: os.unlink(file),
        "rmdir": lambda: os.rmdir(folder),
        "rename": lambda: os.rename(file, folder / "new"),
        "truncate": lambda: os.truncate(file, 0),
        "chmod": lambda: os.chmod(file, 0o600),
        "chown": lambda: os.chown(file, 1, 1),
        "utime": lambda: os.utime(file, ns=(1, 1)),
        "setxattr": lambda: os.setxattr(file, "user.new", b""),
        "removexattr": lambda: os.removexattr(file, "user.none"),
    }
    assert {name: refused(call) for name, call in calls.items()} == dict.fromkeys(calls, errno.EROFS)


def test_a_snapshot_shows_its_day_and_nothing_there_changes(mounted: MountedStore) -> None:
    at = mounted.path
    plant(at / "tree")
    then = describe(at)
    freeze(mounted, "then")
    run("rm", "-r", at / "tree")
    (at / "tree").write_bytes(b"no folder any more")
    frozen = at / ".snapshots" / "then"
    assert describe(frozen) == then
    change_everything(frozen)
    assert refused(lambda: os.mkdir(at / ".snapshots" / "new")) == errno.EROFS
    assert refused(lambda: os.rmdir(at / ".snapshots" / "then")) == errno.EROFS
    assert refused(lambda: os.rename(at / ".snapshots" / "then", at / "here")) in (errno.EROFS, errno.EXDEV)
    assert refused(lambda: os.rmdir(at / ".snapshots")) == errno.EROFS
    assert refused(lambda: os.link(frozen / "tree" / "holes", at / "here")) == errno.EXDEV
    assert describe(frozen) == then
    assert os.stat(frozen / "tree").st_ino != os.stat(at / "tree").st_ino


def test_it_is_listed_only_when_it_shall_be(mount_store: Mounter) -> None:
    mounted = mount_store()
    at = mounted.path
    (at / "file").write_bytes(b"file")
    freeze(mounted, "then")
    assert os.listdir(at) == ["file"]
    assert run("find", at).count(".snapshots") == 0
    assert os.listdir(at / ".snapshots") == ["then"]
    assert (at / ".snapshots" / "then" / "file").read_bytes() == b"file"
    mounted.remount("snapdir=visible")
    assert sorted(os.listdir(at)) == [".snapshots", "file"]
    assert str(at / ".snapshots" / "then" / "file") in run("find", at)


def test_snapshots_come_and_go_while_somebody_looks(mounted: MountedStore) -> None:
    at = mounted.path
    below = at / ".snapshots"
    (at / "file").write_bytes(b"then")
    freeze(mounted, "then")
    assert os.listdir(below) == ["then"]
    (at / "file").write_bytes(b"now")
    before = os.stat(below)
    kept_as = roll_back(mounted, "then")
    assert sorted(os.listdir(below)) == sorted(["then", kept_as])
    assert os.stat(below).st_nlink == before.st_nlink + 1
    assert (below / kept_as / "file").read_bytes() == b"now"
    assert refused(lambda: os.stat(below / "another")) == errno.ENOENT
    held = os.open(below / kept_as / "file", os.O_RDONLY)
    mounted_name = roll_back(mounted, kept_as)
    assert (below / mounted_name / "file").read_bytes() == b"then"
    assert os.pread(held, 3, 0) == b"now"
    os.close(held)


def test_a_snapshot_is_mounted_by_itself(mounted: MountedStore) -> None:
    at = mounted.path
    plant(at / "tree")
    then = describe(at)
    freeze(mounted, "then, of old")
    run("rm", "-r", at / "tree")
    mounted.remount("snapshot=then%2C of old")
    assert describe(at) == then
    change_everything(at)
    assert refused(lambda: os.stat(at / ".snapshots")) == errno.ENOENT
    assert vfs("rollback", at, "then, of old", exit_code=1) == ""
    mounted.remount("rw")
    assert os.listdir(at) == []
