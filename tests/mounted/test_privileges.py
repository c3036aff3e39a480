"""Who may do what: set-id bits and when they go, sticky and set-gid directories, permissions, ownership."""

import os
import stat
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import NOBODY, as_nobody, needs_root, python

pytestmark = [pytest.mark.mounted, needs_root]

# Each of these takes the set-user-id bit from a file, and the set-group-id bit if the group may execute it.
CHANGES = {
    "write": "os.write(os.open(name, os.O_WRONLY), b'x')",
    "append": "os.write(os.open(name, os.O_WRONLY | os.O_APPEND), b'x')",
    "truncate": "os.truncate(name, 1)",
    "ftruncate": "os.ftruncate(os.open(name, os.O_WRONLY), 3)",
    "open with O_TRUNC": "os.close(os.open(name, os.O_WRONLY | os.O_TRUNC))",
    "chown to oneself": "os.chown(name, os.getuid(), os.getgid())",
}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_changes_by_a_user_clear_the_set_id_bits(shared: MountedStore) -> None:
    for change, statement in CHANGES.items():
        for mode, expected in [(0o6777, 0o777), (0o4755, 0o755), (0o2766, 0o2766), (0o644, 0o644)]:
            file = shared.path / f"{change} {mode:o}"
            file.write_bytes(b"content")
            os.chown(file, NOBODY, NOBODY)
            file.chmod(mode)
            as_nobody(f"import os, sys\nname = sys.argv[1]\n{statement}", file.name, cwd=shared.path)
            assert oct(mode_of(file)) == oct(expected), file.name
    names = {name: mode_of(shared.path / name) for name in os.listdir(shared.path)}
    shared.remount()
    assert {name: mode_of(shared.path / name) for name in names} == names


def test_reading_and_changing_times_leave_the_set_id_bits(shared: MountedStore) -> None:
    file = shared.path / "file"
    file.write_bytes(b"content")
    os.chown(file, NOBODY, NOBODY)
    file.chmod(0o6755)
    as_nobody(
        "import os\nopen('file').read()\nos.utime('file')\nos.link('file', 'second')", cwd=widened(shared)
    )
    assert mode_of(file) == 0o6755


def test_the_kernel_shows_at_once_that_they_are_gone(shared: MountedStore) -> None:
    file = shared.path / "file"
    file.write_bytes(b"content")
    file.chmod(0o6777)
    with open(file, "r+b") as handle:
        handle.write(b"changed")
        handle.flush()
        os.fsync(handle.fileno())
        assert stat.S_IMODE(os.fstat(handle.fileno()).st_mode) == 0o777


def widened(mounted: MountedStore) -> Path:
    mounted.path.chmod(0o777)
    return mounted.path


def test_chown_by_root_clears_them_on_files_only(shared: MountedStore) -> None:
    file, folder = shared.path / "file", shared.path / "folder"
    file.touch()
    folder.mkdir()
    for path in (file, folder):
        path.chmod(0o6755)
        os.chown(path, 1234, 2345)
    assert (mode_of(file), mode_of(folder)) == (0o755, 0o6755)
    assert (os.stat(file).st_uid, os.stat(file).st_gid) == (1234, 2345)
    os.chown(file, -1, 77)
    os.chown(file, 88, -1)
    shared.remount()
    assert (os.stat(file).st_uid, os.stat(file).st_gid) == (88, 77)


def test_a_foreign_group_takes_the_set_gid_bit_at_chmod(shared: MountedStore) -> None:
    file = shared.path / "file"
    file.touch()
    os.chown(file, NOBODY, 4321)
    as_nobody("import os\nos.chmod('file', 0o2755)", cwd=shared.path)
    assert mode_of(file) == 0o755


def test_only_the_owner_removes_from_a_sticky_directory(shared: MountedStore) -> None:
    folder = shared.path / "folder"
    folder.mkdir()
    folder.chmod(0o1777)
    for name, owner in (("mine", NOBODY), ("foreign", 1000)):
        (folder / name).touch()
        os.chown(folder / name, owner, owner)
        (folder / name).chmod(0o666)
    as_nobody(
        """
        import os
        for attempt in (
            lambda: os.unlink("foreign"),
            lambda: os.rename("foreign", "other"),
            lambda: os.rename("mine", "foreign"),
        ):
            try:
                attempt()
            except PermissionError:
                continue
            raise AssertionError("allowed")
        open("foreign", "w").write("contents are another matter")
        os.rename("mine", "renamed")
        os.unlink("renamed")
        """,
        cwd=folder,
    )
    assert os.listdir(folder) == ["foreign"]


def test_set_gid_directories_hand_down_their_group(shared: MountedStore) -> None:
    folder = shared.path / "folder"
    folder.mkdir()
    os.chown(folder, 0, 555)
    folder.chmod(0o2777)
    as_nobody(
        """
        import os
        os.umask(0o022)
        os.mkdir("below")
        os.mkdir("below/deeper")
        open("below/file", "w").close()
        os.symlink("x", "link")
        os.mkfifo("fifo")
        """,
        cwd=folder,
    )
    shared.remount()
    for name in ("below", "below/deeper", "below/file", "link", "fifo"):
        status = os.lstat(folder / name)
        assert (status.st_uid, status.st_gid) == (NOBODY, 555), name
    assert mode_of(folder / "below/deeper") == 0o2755
    assert mode_of(folder / "below/file") == 0o644


def test_permissions_are_checked(shared: MountedStore) -> None:
    secret, file = shared.path / "secret", shared.path / "file"
    secret.mkdir(mode=0o700)
    (secret / "inside").write_text("x")
    file.write_text("x")
    file.chmod(0o640)
    as_nobody(
        """
        import os
        for attempt in (
            lambda: os.listdir("secret"),
            lambda: os.stat("secret/inside"),
            lambda: open("file"),
            lambda: open("new", "w"),
            lambda: os.unlink("file"),
            lambda: os.chmod("file", 0o777),
            lambda: os.chown("file", os.getuid(), -1),
            lambda: os.utime("file", (1, 1)),
            lambda: os.truncate("file", 0),
        ):
            try:
                attempt()
            except PermissionError:
                continue
            raise AssertionError("allowed")
        assert not os.access("file", os.R_OK)
        assert os.access(".", os.R_OK | os.X_OK)
        """,
        cwd=shared.path,
    )
    assert file.read_text() == "x"


def test_groups_of_a_process_count(shared: MountedStore) -> None:
    file = shared.path / "file"
    file.write_text("for the group")
    os.chown(file, 0, 777)
    file.chmod(0o640)
    read = "become(1000, 1000, groups=(777,))\nassert open('file').read() == 'for the group'"
    assert python(read, cwd=shared.path) == ""


def test_without_allow_other_nobody_else_gets_in(mounted: MountedStore) -> None:
    mounted.path.chmod(0o777)
    (mounted.path / "file").write_text("x")
    as_nobody(
        """
        import os
        try:
            os.listdir(".")
        except PermissionError:
            pass
        else:
            raise AssertionError("allowed")
        """,
        cwd=mounted.path,
    )
