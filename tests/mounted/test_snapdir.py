"""Programs that walk a mount find the snapshots when they are asked to, and only then."""

import os
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import run

pytestmark = pytest.mark.mounted


def with_a_snapshot(mounted: MountedStore) -> None:
    run("git", "init", "-q", ".", cwd=mounted.path)
    (mounted.path / "folder").mkdir()
    (mounted.path / "folder" / "file").write_text("then")
    run("git", "add", ".", cwd=mounted.path)
    run("git", "commit", "-qm", "first", cwd=mounted.path)
    vfs("snapshot", "create", mounted.path, "one")
    (mounted.path / "folder" / "file").write_text("now")


def found(folder: Path) -> set[str]:
    return {str(Path(line).relative_to(folder)) for line in run("find", folder, "-name", "file").splitlines()}


def test_find_rsync_and_git_do_not_walk_into_snapshots(mounted: MountedStore, tmp_path: Path) -> None:
    with_a_snapshot(mounted)
    assert found(mounted.path) == {"folder/file"}
    assert ".snapshots" not in os.listdir(mounted.path)
    assert run("git", "status", "--short", "-uall", cwd=mounted.path) == " M folder/file\n"
    run("rsync", "-a", f"{mounted.path}/", tmp_path / "copy")
    assert sorted(os.listdir(tmp_path / "copy")) == [".git", "folder"]
    assert found(mounted.path / ".snapshots") == {"one/folder/file"}
    assert run("diff", "-r", mounted.path / ".snapshots/one/folder", tmp_path / "copy/folder", exit_code=1)


def test_with_snapdir_visible_they_do(mount_store: Mounter, tmp_path: Path) -> None:
    mounted = mount_store("snapdir=visible")
    with_a_snapshot(mounted)
    assert found(mounted.path) == {"folder/file", ".snapshots/one/folder/file"}
    assert ".snapshots" in os.listdir(mounted.path)
    listed = run("git", "status", "--short", "-uall", cwd=mounted.path)
    assert "?? .snapshots/one/" in listed.splitlines(), "a work tree of its own, for git"
    run("rsync", "-a", "--exclude=.git", f"{mounted.path}/", tmp_path / "copy")
    assert (tmp_path / "copy/.snapshots/one/folder/file").read_text() == "then"
    mounted.remount("snapdir=hidden")
    assert found(mounted.path) == {"folder/file"}
