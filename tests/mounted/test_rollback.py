"""A rollback under programs that hold files and directories open, mapped, and as their working directory."""

import errno
import mmap
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import start_python
from tests.mounted.rolling import freeze, put, refused, roll_back, write_back
from tests.mounted.trees import describe, plant

pytestmark = pytest.mark.mounted

PAGE = mmap.PAGESIZE
READ_WRITE = os.O_RDWR


def test_files_that_are_held_open(mounted: MountedStore) -> None:
    at = mounted.path
    for name in ("same", "changed", "attributes", "removed"):
        (at / name).write_bytes(name.encode() * 5000)
    before = {name: os.stat(at / name) for name in ("same", "changed", "attributes", "removed")}
    unlinked = put(at / "unlinked", b"of before" * 1000)
    freeze_names = sorted(os.listdir(at))
    os.close(unlinked)
    freeze(mounted, "then")

    held = {name: os.open(at / name, READ_WRITE) for name in freeze_names}
    unlinked = held.pop("unlinked")
    assert os.pread(held["same"], 9, 0) == b"samesames"
    os.pwrite(held["changed"], b"CHANGED", 100)
    os.fsync(held["changed"])
    os.pwrite(held["changed"], b"and more that the kernel keeps" * 1000, 50_000)
    os.fchmod(held["attributes"], 0o600)
    os.unlink(at / "removed")
    os.unlink(at / "unlinked")
    held["new"] = put(at / "new", b"new" * 3000)
    held["unlinked"] = put(at / "gone already", b"without a name")
    os.unlink(at / "gone already")
    roll_back(mounted, "then")

    stale = sorted(held.keys() - {"same"})
    assert stale == ["attributes", "changed", "new", "removed", "unlinked"]
    for name in stale:
        file = held[name]
        assert refused(lambda file=file: os.fstat(file)) == errno.ESTALE, name  # type: ignore[misc]
        assert refused(lambda file=file: os.pread(file, 10, 0)) == errno.ESTALE, name  # type: ignore[misc]
        assert refused(lambda file=file: os.pwrite(file, b"late", 0)) == errno.ESTALE, name  # type: ignore[misc]
        assert refused(lambda file=file: os.pwrite(file, bytes(PAGE), 0)) == errno.ESTALE, name  # type: ignore[misc]
        assert refused(lambda file=file: os.ftruncate(file, 0)) == errno.ESTALE, name  # type: ignore[misc]
        assert refused(lambda file=file: os.fsync(file)) == errno.ESTALE, name  # type: ignore[misc]
        os.close(file)
    assert refused(lambda: os.pread(unlinked, 9, 0)) == errno.ESTALE
    os.close(unlinked)

    for name, status in before.items():
        assert (at / name).read_bytes() == name.encode() * 5000
        now = os.stat(at / name)
        assert (now.st_size, now.st_mtime_ns, now.st_mode) == (
            status.st_size,
            status.st_mtime_ns,
            status.st_mode,
        )
    assert (at / "unlinked").read_bytes() == b"of before" * 1000
    assert sorted(os.listdir(at)) == freeze_names

    same = held["same"]
    assert os.fstat(same).st_ino == before["same"].st_ino == os.stat(at / "same").st_ino
    assert os.pread(same, 4, 0) == b"same"
    os.pwrite(same, b"SAME", 0)
    os.fsync(same)
    assert (at / "same").read_bytes()[:8] == b"SAMEsame"
    os.close(same)
    mounted.remount()
    assert (at / "same").read_bytes()[:8] == b"SAMEsame"


def test_files_that_are_mapped(mounted: MountedStore) -> None:
    at = mounted.path
    for name in ("same", "changed", "removed"):
        (at / name).write_bytes(name.encode()[:1] * (16 * PAGE))
    freeze(mounted, "then")
    (at / "changed").write_bytes(b"C" * (32 * PAGE))
    os.unlink(at / "removed")
    mapper = """
        import mmap, sys
        with open(sys.argv[1], "r+b") as file:
            mapping = mmap.mmap(file.fileno(), 0)
        mapping[0] = mapping[5 * mmap.PAGESIZE]  # in the page tables, and dirty
        print("mapped", flush=True)
        sys.stdin.readline()
        print(bytes(mapping[0:1]).decode(), flush=True)
        mapping[1] = mapping[0]
        mapping.flush()
        print("written", flush=True)
        """
    (at / "gone").write_bytes(b"g" * (16 * PAGE))
    names = ("changed", "gone", "same")
    programs = {name: start_python(mapper, at / name, cwd=at.parent) for name in names}
    for program in programs.values():
        assert program.stdout is not None
        assert program.stdout.readline() == "mapped\n"
    write_back(mounted)
    roll_back(mounted, "then")
    for name, program in programs.items():
        said, _ = program.communicate("go on\n", timeout=60)
        if name == "same":  # its write of the same byte made it another file before: see the next assertion
            assert said in ("", "s\nwritten\n")
        else:
            assert (said, program.returncode) == ("", -signal.SIGBUS), name
    for name in ("same", "changed", "removed"):
        assert (at / name).read_bytes() == name.encode()[:1] * (16 * PAGE)


def test_a_file_that_is_only_mapped_for_reading_stays_mapped(mounted: MountedStore) -> None:
    file = mounted.path / "same"
    file.write_bytes(b"s" * (8 * PAGE))
    freeze(mounted, "then")
    (mounted.path / "other").write_bytes(b"o")
    with open(file, "r+b") as handle, mmap.mmap(handle.fileno(), 0) as mapping:
        assert mapping[3 * PAGE] == ord("s")
        roll_back(mounted, "then")
        assert mapping[3 * PAGE] == ord("s")
        mapping[3 * PAGE] = ord("S")
        mapping.flush()
        assert os.pread(handle.fileno(), 2, 3 * PAGE) == b"Ss"
    mounted.remount()
    assert file.read_bytes()[3 * PAGE : 3 * PAGE + 2] == b"Ss"


INHABITANT = """
    import os, sys
    os.chdir(sys.argv[1])
    here = os.open(".", os.O_RDONLY)
    os.listdir("."), os.listdir(here)
    print("there", flush=True)
    for line in sys.stdin:
        try:
            found = eval(line)
        except OSError as error:
            found = error.errno
        print(repr(found), flush=True)
    """


class Inhabitant:
    """A process that works in a folder."""

    def __init__(self, folder: Path) -> None:
        self.program = start_python(INHABITANT, folder, cwd=folder.parent)
        assert self._line() == "there"

    def _line(self) -> str:
        assert self.program.stdout is not None
        return self.program.stdout.readline().strip()

    def ask(self, expression: str) -> object:
        """What an expression gives there; an errno where it fails."""
        assert self.program.stdin is not None
        self.program.stdin.write(expression + "\n")
        self.program.stdin.flush()
        return eval(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.program.kill()
        self.program.communicate(timeout=60)


def test_directories_that_somebody_works_in(mounted: MountedStore) -> None:
    with ExitStack() as stack:
        work_in_directories(mounted, stack)


def work_in_directories(mounted: MountedStore, stack: ExitStack) -> None:
    def enter(folder: Path) -> Inhabitant:
        return stack.enter_context(Inhabitant(folder))

    at = mounted.path
    for name in ("same", "changed", "moved", "removed"):
        (at / name / "sub").mkdir(parents=True)
        (at / name / "file").write_bytes(name.encode())
    freeze(mounted, "then")
    people = {name: enter(at / name) for name in ("same", "changed")}
    (at / "elsewhere").mkdir()
    (at / "moved").rename(at / "elsewhere" / "moved")
    people["moved"] = enter(at / "elsewhere" / "moved")
    people["sub"] = enter(at / "elsewhere" / "moved" / "sub")
    (at / "changed" / "file").rename(at / "changed" / "other")
    (at / "changed" / "sub").rmdir()
    people["new"] = enter(at / "elsewhere")
    people["removed"] = enter(at / "removed")
    for child in ("sub", "file"):
        (at / "removed" / child).rename(at / child)
    (at / "removed").rmdir()
    assert people["removed"].ask("os.listdir(here)") == []
    now = roll_back(mounted, "then")

    for name in ("same", "changed", "moved", "removed"):
        expected = sorted(os.listdir(at / name))
        assert expected == ["file", "sub"]
        if name == "removed":  # for the kernel it stays so: only who looks for it anew finds it
            assert people[name].ask("os.stat('.')") == errno.ESTALE
            assert people[name].ask(f"sorted(os.listdir({str(at / name)!r}))") == expected
            continue
        assert people[name].ask("sorted(os.listdir('.'))") == expected, name
        assert people[name].ask("sorted(os.listdir(here))") == expected, name
        assert people[name].ask("open('file').read()") == name, name
        assert people[name].ask("os.stat('.').st_ino == os.fstat(here).st_ino"), name
    assert people["moved"].ask("os.getcwd()") == str(at / "moved")
    assert people["sub"].ask("os.getcwd()") == str(at / "moved" / "sub")
    assert people["new"].ask("os.listdir(here)") == errno.ESTALE
    assert people["new"].ask("os.open('file', os.O_CREAT)") in (errno.ESTALE, errno.ENOENT)
    assert people["new"].ask("os.stat('.')") == errno.ESTALE
    assert people["moved"].ask("os.mkdir('made')") is None
    assert (at / "moved" / "made").is_dir()

    roll_back(mounted, now)
    assert people["new"].ask("os.listdir(here)") == ["moved"]
    assert (at / "elsewhere").is_dir()  # until somebody looks, the kernel does not know where it lies
    assert people["new"].ask("os.getcwd()") == str(at / "elsewhere")
    assert people["moved"].ask("sorted(os.listdir('.'))") == ["file", "sub"]


def test_paths_show_the_snapshot_at_once_and_the_rollback_can_be_rolled_back(mounted: MountedStore) -> None:
    at = mounted.path
    plant(at / "tree")
    then = describe(at)
    freeze(mounted, "then")
    assert describe(at) == then
    names = sorted(then)
    for number, name in enumerate(names):
        path = at / name
        if not os.path.lexists(path):
            continue
        if number % 7 == 0 and not path.is_symlink() and path.is_file():
            os.truncate(path, 12_345)
        elif number % 7 == 1 and not path.is_dir():
            path.unlink()
        elif number % 7 == 2:
            path.rename(path.with_name(f"renamed {number}"))
        elif number % 7 == 3 and not path.is_symlink():
            os.chmod(path, 0o700 if path.is_dir() else 0o640)
        elif number % 7 == 4 and path.is_dir():
            (path / "new").write_bytes(b"new" * number)
        elif number % 7 == 5 and path.is_file() and not path.is_symlink():
            os.setxattr(path, "user.late", b"%d" % number)
    os.rename(at / "tree", at / "another")
    plant(at / "tree", seed=8)
    now, kept_as = describe(at), ""
    everything = then.keys() | now.keys()
    for wanted, state in (("then", then), (None, now)):
        # What is missing is known to be missing, and what is there is known by its names, not from listings.
        assert {name for name in everything if os.path.lexists(at / name)} != state.keys()
        kept_as = roll_back(mounted, wanted or kept_as)
        assert {name for name in everything if os.path.lexists(at / name)} == state.keys()
        assert describe(at) == state
    roll_back(mounted, "then")
    assert describe(at) == then
    mounted.remount()
    assert describe(at) == then


def test_inode_numbers_are_unique_whatever_is_held(mounted: MountedStore) -> None:
    at = mounted.path
    for number in range(50):
        (at / f"{number}").write_bytes(b"%d" % number)
    freeze(mounted, "then")
    held = []
    for turn in range(3):
        for number in range(0, 50, 2):
            held.append(put(at / f"{number}", b"turn %d" % turn))
            held.append(put(at / f"new {turn} {number}", b""))
        roll_back(mounted, "then")
        found = {os.stat(at / name).st_ino for name in os.listdir(at)}
        listed = {entry.inode() for entry in os.scandir(at)}
        assert len(found) == 50
        assert listed == found
        below = at / ".snapshots"
        for name in os.listdir(below):
            frozen = {os.stat(below / name / file).st_ino for file in os.listdir(below / name)}
            assert not frozen & found
            found |= frozen
    for file in held:
        assert refused(lambda file=file: os.fstat(file)) == errno.ESTALE  # type: ignore[misc]
        os.close(file)
    assert all((at / f"{number}").read_bytes() == b"%d" % number for number in range(50))
