"""`vfs diff` in a shell: the same words and the same lines for a store, a store in use, and a mount point."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vfs as library
from tests.cli.shell import vfs
from vfs.cli.diff import compare
from vfs.errors import SnapshotError, VfsError
from vfs.limits import ROOT_INO
from vfs.mount.protocol import SOCKET_NAME

LINES = [
    "R gone -> \\x1b[31m -> \\n (content)",
    "+ added/",
    "+ added/file",
    "+ one/ (clone)",
    "M src/changed (content, mode, owner, xattr)",
    "R src/old/ -> src/new/",
    "- src/removed",
    "M src/sed (content)",
]


@pytest.fixture
def changed(store: Path) -> Path:
    """A store with a snapshot, `then`, that was changed since."""
    with library.open(store) as fs:
        fs.make_directory("src/old", parents=True)
        for name in ("changed", "removed", "same", "sed", "old/inside"):
            fs.write_bytes(f"src/{name}", name.encode() * 1000)
        fs.write_bytes("gone", b"gone")
        fs.create_snapshot("then")
        fs.clone("then", ROOT_INO, b"one")
        fs.make_directory("added")
        fs.write_bytes("added/file", b"12345")
        fs.write_bytes("src/changed", b"new")
        changed = fs.resolve("src/changed").ino
        fs.set_attributes(changed, mode=0o600, uid=7)
        fs.set_xattr(changed, b"user.a", b"b")
        fs.remove("src/removed")
        fs.write_bytes("src/same", b"same" * 1000)
        fs.write_bytes("src/sedXXXX", b"SED" * 1000)
        fs.move("src/sedXXXX", "src/sed")
        fs.move("src/old", "src/new")
        fs.write_bytes("gone", b"Gone")
        fs.move("gone", b"\x1b[31m -> \n")
    return store


@pytest.fixture(params=["store", pytest.param("mounted", marks=pytest.mark.mounted)])
def target(request: Any, changed: Path, point: Path) -> Iterator[Path]:
    """What is compared: the store, or where it is mounted."""
    if request.param == "store":
        yield changed
        return
    assert vfs("mount", changed, point).code == 0
    yield point
    assert vfs("umount", point).code == 0


def paths(target: Path, old: str, new: str | None = None) -> list[str]:
    """What is told to be different."""
    return [each["path"] for each in compare(target, old, new, stat=False)["differences"]]


def test_lines_and_words(target: Path) -> None:
    done = vfs("diff", target, "then", "--exit-code")
    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines() == LINES
    assert len(paths(target, "then", "/")) == len(paths(target, "/", "/one")) == len(LINES)
    assert paths(target, "then", "then") == paths(target, "then", "/one") == []
    assert paths(target, "then:src/old", "/src/new") == []
    assert paths(target, "then:src") == ["changed", "new", "removed", "sed"]
    for old, error in (
        ("never", "no snapshot is called 'never'"),
        ("then:src/never", "there is no never in then:src/never"),
        ("then:src/sed", "sed in then:src/sed is no folder"),
        ("/one", "say what /one is to be compared with"),
    ):
        with pytest.raises(VfsError, match=error):
            compare(target, old, None, stat=False)


def test_documents(target: Path) -> None:
    document = vfs("diff", target, "then", "--json").document
    assert (document["old"], document["new"]) == ("then", "/")
    found = {each["path"]: each for each in document["differences"]}
    assert found["src/sed"] == {
        "kind": "changed",
        "path": "src/sed",
        "old_path": None,
        "type": "file",
        "changes": ["content"],
        "old_size": 3000,
        "size": 3000,
    }
    assert found["\x1b[31m -> \n"]["old_path"] == "gone"
    assert found["one"]["type"] == "clone"
    stat = compare(target, "then", None, stat=True)
    sums = {"added": 3, "removed": 1, "changed": 2, "renamed": 2}
    sums |= {"added_bytes": 5, "removed_bytes": 7000, "changed_bytes": 3007, "growth_bytes": -13992}
    assert stat == {"store": document["store"], "old": "then", "new": "/", **sums}
    assert stat.items() <= document.items()


def test_exit_codes_and_sums(changed: Path) -> None:
    done = vfs("diff", changed, "then", "--stat")
    assert done.code == 0
    assert {"changed: 2", "growth_bytes: -13992"} <= set(done.out.splitlines())
    assert vfs("diff", changed, "then", "/one", "--exit-code").code == 0
    never = vfs("diff", changed, "never")
    assert (never.code, never.out) == (2, "")
    assert "no snapshot is called 'never'" in never.error
    assert vfs("diff", changed).code == 2


@pytest.mark.mounted
def test_what_the_kernel_still_keeps_is_compared(changed: Path, point: Path) -> None:
    assert vfs("mount", changed, point).code == 0
    descriptor = os.open(point / "src" / "same", os.O_WRONLY)
    try:
        os.pwrite(descriptor, b"x", 1_000_000)
        (point / "many").mkdir()
        for number in range(2500):  # more than one page of lines
            (point / "many" / f"{number:04}").write_bytes(b"")
        found = compare(point, "then", None, stat=False)["differences"]
        assert paths(point, "then:src", str(point / "src")) == paths(point, "then:src")
    finally:
        os.close(descriptor)
    same = next(each for each in found if each["path"] == "src/same")
    assert (same["changes"], same["size"]) == (["content"], 1_000_001)
    assert len(found) == len(LINES) + 2502
    assert vfs("umount", point).code == 0


def test_a_store_that_was_not_closed(changed: Path, tmp_path: Path) -> None:
    """What stands in the log alone is now as well; two snapshots are compared without bringing it in."""
    copy = tmp_path / "copy"
    with library.open(changed) as fs:
        fs.write_bytes("late", b"late")
        fs.sync()
        shutil.copytree(changed, copy)
    (copy / SOCKET_NAME).unlink(missing_ok=True)
    before = sorted((path, path.stat().st_mtime_ns) for path in copy.rglob("*.db"))
    assert paths(copy, "then", "then") == []
    assert sorted((path, path.stat().st_mtime_ns) for path in copy.rglob("*.db")) == before
    with library.open(copy, read_only=True) as fs, pytest.raises(SnapshotError):
        list(fs.diff("then"))
    assert "late" in paths(copy, "then")
