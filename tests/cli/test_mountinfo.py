"""mountinfo: its escapes, odd lines, the mount that shows, and paths that are resolved beside mounts."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.errors import MountError
from vfs.mount.mountinfo import (
    Mount,
    mount_at,
    mounts_of,
    parse_mountinfo,
    read_mounts,
    resolve,
    vfs_around,
    vfs_at,
)

CONTENT = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
42 27 0:39 / /tmp/m\040n\134\011x rw,nosuid,nodev - fuse.vfs /a%20b%2Cc rw,user_id=0
43 27 0:40 /part /bind rw - fuse.vfs /a%20b%2Cc rw
44 27 0:41 / /twice rw - tmpfs none rw
45 44 0:42 / /twice rw - fuse.vfs /second rw
46 27 0:43 / /under rw - fuse.vfs /third rw
47 46 0:44 / /under rw - tmpfs none rw
garbage
1 2 3
x y 0:1 / /p rw - a b c
"""


def fake(point: Path | str, store: str = "/store", number: int = 1) -> Mount:
    return Mount(number, 0, f"0:{number}", "/", Path(point), "fuse.vfs", store)


def test_lines_are_parsed_and_odd_ones_left_out() -> None:
    mounts = parse_mountinfo(CONTENT)
    assert [mount.number for mount in mounts] == [22, 27, 42, 43, 44, 45, 46, 47]
    ours = mounts[2]
    assert ours == Mount(42, 27, "0:39", "/", Path("/tmp/m n\\\tx"), "fuse.vfs", "/a%20b%2Cc")
    assert ours.store == Path("/a b,c")
    assert ours.is_vfs
    assert mounts[1].type == "ext4"


def test_a_bind_mount_of_a_part_is_not_the_mount() -> None:
    mounts = parse_mountinfo(CONTENT)
    assert vfs_at(Path("/bind"), mounts) is None
    assert [mount.number for mount in mounts_of(Path("/a b,c"), mounts)] == [42]


def test_the_last_mount_at_a_place_is_the_one_that_shows() -> None:
    mounts = parse_mountinfo(CONTENT)
    second = vfs_at(Path("/twice"), mounts)
    assert second is not None
    assert second.store == Path("/second")
    assert vfs_at(Path("/under"), mounts) is None
    under = mount_at(Path("/under"), mounts)
    assert under is not None
    assert under.type == "tmpfs"


def test_around() -> None:
    mounts = parse_mountinfo(CONTENT)
    inside = vfs_around(Path("/twice/a/b"), mounts)
    assert inside is not None
    assert inside.number == 45
    assert vfs_around(Path("/twicex"), mounts) is None


@given(st.binary())
def test_no_content_is_an_error(content: bytes) -> None:
    parse_mountinfo(content)


def test_the_real_one_has_a_root() -> None:
    assert mount_at(Path("/"), read_mounts()) is not None


def test_resolve_follows_links_and_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "absolute").symlink_to(tmp_path / "real")
    (tmp_path / "relative").symlink_to("absolute/deep/..")
    monkeypatch.chdir(tmp_path)
    assert resolve(Path("relative/deep/"), []) == tmp_path / "real" / "deep"
    assert resolve(Path("absolute/../x/./y"), []) == tmp_path / "x" / "y"
    assert resolve(tmp_path / "not" / "there", []) == tmp_path / "not" / "there"
    assert resolve(Path("/.."), []) == Path("/")


def test_resolve_touches_nothing_at_or_below_a_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = tmp_path / "m"
    point.symlink_to("/never")  # stands for whatever a mount would answer
    touched = []
    readlink = os.readlink

    def spy(path: Path) -> str:
        touched.append(path)
        return readlink(path)

    monkeypatch.setattr(os, "readlink", spy)
    assert resolve(point / "a" / ".." / "b", [fake(point)]) == point / "b"
    assert all(not path.is_relative_to(point) for path in touched)


def test_a_loop_of_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(MountError, match="symbolic links"):
        resolve(tmp_path / "a", [])
