"""Extended attributes: namespaces, sizes, flags, limits, and the mount option that switches them off."""

import errno
import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore
from tests.mounted.programs import as_nobody, needs_root, run

pytestmark = pytest.mark.mounted


def refusal(action: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:
        action()
    return caught.value.errno


def test_values_and_lists_survive(mounted: MountedStore) -> None:
    values = {
        "user.empty": b"",
        "user.bytes": bytes(range(256)),
        "user.large": b"x" * 65_536,
        "user.ä and blanks": b"v",
        "user." + "n" * 250: b"longest name",
    }
    folder, file = mounted.path / "folder", mounted.path / "file"
    folder.mkdir()
    file.touch()
    for path in (folder, file):
        for name, value in values.items():
            os.setxattr(path, name, value)
        os.setxattr(path, "user.bytes", b"replaced")
    values["user.bytes"] = b"replaced"
    for again in (mounted.remount, mounted.kill):
        for path in (folder, file):
            assert set(os.listxattr(path)) == values.keys()
            assert {name: os.getxattr(path, name) for name in values} == values
        again()
    mounted.mount()
    for name in values:
        os.removexattr(file, name)
    assert os.listxattr(file) == []
    assert len(os.listxattr(folder)) == len(values)


def test_flags_limits_and_missing_ones(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    file.touch()
    assert refusal(lambda: os.setxattr(file, "user.a", b"1", os.XATTR_REPLACE)) == errno.ENODATA
    os.setxattr(file, "user.a", b"1", os.XATTR_CREATE)
    assert refusal(lambda: os.setxattr(file, "user.a", b"2", os.XATTR_CREATE)) == errno.EEXIST
    assert os.getxattr(file, "user.a") == b"1"
    os.setxattr(file, "user.a", b"2", os.XATTR_REPLACE)
    assert os.getxattr(file, "user.a") == b"2"
    assert refusal(lambda: os.getxattr(file, "user.b")) == errno.ENODATA
    assert refusal(lambda: os.removexattr(file, "user.b")) == errno.ENODATA
    assert refusal(lambda: os.setxattr(file, "user." + "n" * 251, b"")) == errno.ERANGE
    assert refusal(lambda: os.setxattr(file, "user.large", b"x" * 65_537)) == errno.E2BIG
    assert refusal(lambda: os.setxattr(file, "other.name", b"")) == errno.EOPNOTSUPP
    assert refusal(lambda: os.getxattr(mounted.path / "missing", "user.a")) == errno.ENOENT
    assert os.listxattr(file) == ["user.a"]


def test_many_attributes_until_the_list_is_full(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    file.touch()
    set_names = []
    for number in range(1000):
        name = f"user.{number:04}." + "n" * 200
        try:
            os.setxattr(file, name, b"v")
        except OSError as error:
            number_of_error = error.errno
            break
        set_names.append(name)
    else:
        pytest.fail("more than the kernel could list")
    assert number_of_error == errno.E2BIG
    assert len(set_names) > 300
    assert sorted(os.listxattr(file)) == set_names
    mounted.remount()
    assert sorted(os.listxattr(file)) == set_names


def test_users_may_not_set_attributes_on_links(mounted: MountedStore) -> None:
    os.symlink("x", mounted.path / "link")
    attempt = partial(os.setxattr, mounted.path / "link", "user.a", b"", follow_symlinks=False)
    assert refusal(attempt) == errno.EPERM


@needs_root
def test_trusted_and_security_attributes(shared: MountedStore) -> None:
    file = shared.path / "file"
    file.touch()
    file.chmod(0o666)
    for name in ("trusted.a", "security.b", "user.c"):
        os.setxattr(file, name, name.encode())
    shared.remount()
    assert sorted(os.listxattr(file)) == ["security.b", "trusted.a", "user.c"]
    as_nobody(
        """
        import errno, os
        assert os.getxattr("file", "user.c") == b"user.c"
        assert os.getxattr("file", "security.b") == b"security.b"
        os.setxattr("file", "user.c", b"changed")
        for name, expected in (("trusted.a", errno.ENODATA), ("trusted.new", errno.EPERM)):
            try:
                os.getxattr("file", name) if expected == errno.ENODATA else os.setxattr("file", name, b"")
            except OSError as error:
                assert error.errno == expected, error
            else:
                raise AssertionError(name)
        """,
        cwd=shared.path,
    )
    assert os.getxattr(file, "user.c") == b"changed"


@needs_root
def test_file_capabilities_are_kept_and_lost_with_a_write(mounted: MountedStore) -> None:
    file = mounted.path / "file"
    file.write_bytes(b"#!/bin/true\n")
    capability = struct.pack("<5I", 0x0200_0001, 1 << 10, 0, 0, 0)  # cap_net_bind_service+ep
    os.setxattr(file, "security.capability", capability)
    mounted.remount()
    assert os.getxattr(file, "security.capability") == capability
    with open(file, "ab") as handle:
        handle.write(b"changed")
    assert refusal(lambda: os.getxattr(file, "security.capability")) == errno.ENODATA


def test_acls_are_refused_not_ignored(mounted: MountedStore, tmp_path: Path) -> None:
    file = mounted.path / "file"
    file.touch()
    run("setfacl", "-m", "u:1234:r", file, exit_code=1)
    # An entry each for the owner, user 1234, the group, the mask and others, as the kernel passes them.
    entries = [(1, 6, -1), (2, 4, 1234), (4, 4, -1), (16, 4, -1), (32, 4, -1)]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    assert refusal(lambda: os.setxattr(file, "system.posix_acl_access", value)) == errno.EOPNOTSUPP
    assert "user:1234" not in run("getfacl", "--absolute-names", file)
    # rsync -A brings everything but the list over, and says so with its exit code.
    source = tmp_path / "source"
    source.write_text("content")
    try:
        os.setxattr(source, "system.posix_acl_access", value)
    except OSError:
        return  # the host has no ACLs either: nothing more to show
    run("rsync", "-aHAX", source, f"{mounted.path}/", exit_code=23)
    assert (mounted.path / "source").read_text() == "content"


def test_noxattr(mount_store: Mounter) -> None:
    mounted = mount_store("noxattr")
    file = mounted.path / "file"
    file.write_bytes(b"x")
    assert refusal(lambda: os.setxattr(file, "user.a", b"")) == errno.EOPNOTSUPP
    assert refusal(lambda: os.getxattr(file, "user.a")) == errno.EOPNOTSUPP
    assert refusal(lambda: os.listxattr(file)) == errno.EOPNOTSUPP
    assert refusal(lambda: os.removexattr(file, "user.a")) == errno.EOPNOTSUPP
    # They are switched off for this mount, not lost.
    mounted.unmount()
    mounted.mount("attr_timeout=1")
    os.setxattr(file, "user.a", b"kept")
    mounted.unmount()
    mounted.mount("noxattr")
    assert file.read_bytes() == b"x"
    mounted.unmount()
    mounted.mount("attr_timeout=1")
    assert os.getxattr(file, "user.a") == b"kept"
