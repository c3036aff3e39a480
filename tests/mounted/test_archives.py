"""tar and rsync carry a tree onto the mount, off it, and find it unchanged after a remount."""

import os
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run
from tests.mounted.trees import describe, plant

pytestmark = pytest.mark.mounted


def assert_same(copy: Path, original: dict[str, tuple[object, ...]]) -> None:
    found = describe(copy)
    assert found.keys() == original.keys()
    different = {
        name: (found[name][:-1], original[name][:-1]) for name in found if found[name] != original[name]
    }
    assert not different


def test_a_planted_tree_is_the_same_after_remount_and_kill(mounted: MountedStore) -> None:
    tree = mounted.path / "tree"
    plant(tree)
    before = describe(tree)
    mounted.remount()
    assert_same(tree, before)
    mounted.kill()
    mounted.mount()
    assert_same(tree, before)


def test_tar_onto_the_mount_and_off_again(mounted: MountedStore, tmp_path: Path) -> None:
    plant(tmp_path / "tree")
    original = describe(tmp_path / "tree")
    archive = mounted.path / "tree.tar"
    options = ("--format=posix", "--xattrs", "--sparse", "--numeric-owner")
    run("tar", "-c", *options, "-f", archive, "tree", cwd=tmp_path)
    run("tar", "-x", "-p", *options, "-f", archive, cwd=mounted.path)
    assert_same(mounted.path / "tree", original)

    mounted.remount()
    assert_same(mounted.path / "tree", original)
    assert os.stat(mounted.path / "tree" / "holes").st_blocks * 512 < 1 << 20
    back = tmp_path / "back"
    back.mkdir()
    run("tar", "-c", *options, "-f", tmp_path / "second.tar", "tree", cwd=mounted.path)
    run("tar", "-x", "-p", *options, "-f", tmp_path / "second.tar", cwd=back)
    assert_same(back / "tree", original)


def test_rsync_with_hard_links_and_attributes(mounted: MountedStore, tmp_path: Path) -> None:
    plant(tmp_path / "tree")
    original = describe(tmp_path / "tree")
    target = mounted.path / "copy"
    run("rsync", "-aHAX", "--sparse", f"{tmp_path}/tree/", f"{target}/")
    assert_same(target, original)
    # Nothing is left to do for a second run that compares contents, neither here nor after a remount.
    again = (
        "rsync",
        "-aHAX",
        "--checksum",
        "--itemize-changes",
        "--delete",
        f"{tmp_path}/tree/",
        f"{target}/",
    )
    assert run(*again) == ""
    mounted.remount()
    assert run(*again) == ""
    assert_same(target, original)
    run("rsync", "-aHAX", "--sparse", f"{target}/", f"{tmp_path}/back/")
    assert_same(tmp_path / "back", original)


def test_rsync_within_the_mount_updates_in_place(mounted: MountedStore) -> None:
    source, target = mounted.path / "tree", mounted.path / "copy"
    plant(source)
    run("rsync", "-aHX", f"{source}/", f"{target}/")
    with open(source / "holes", "r+b") as file:
        file.seek(20 << 20)
        file.write(b"changed")
    run("rsync", "-aHX", "--inplace", "--no-whole-file", "--checksum", f"{source}/", f"{target}/")
    assert_same(target, describe(source))
