"""Large directories listed while they change: what is there all the while is shown exactly once."""

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.mounted.listing import getdents, read_directory
from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run, start_python, wait_for

pytestmark = pytest.mark.mounted

STAYING = {f"stay-{number:05}" for number in range(7500)}
GOING = {f"go-{number:05}" for number in range(2500)}


def crowd(folder: Path, names: set[str]) -> Path:
    """A directory with files of those names, in an order that has nothing to do with them."""
    folder.mkdir()
    ordered = sorted(names)
    random.Random(1).shuffle(ordered)
    for name in ordered:
        os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY))
    return folder


def assert_listed_once(names: list[str], possible: set[str]) -> None:
    times = Counter(names)
    assert [name for name in STAYING if times[name] != 1] == []
    assert [name for name, count in times.items() if count > 1] == []
    assert times.keys() <= possible | STAYING | {".", ".."}


def list_while_replacing(folder: Path, going: set[str], new: str) -> set[str]:
    """Read the directory a little at a time, and between any two reads remove names and add as many."""
    left = sorted(going)
    fresh: set[str] = set()
    random.Random(2).shuffle(left)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    names: list[str] = []
    while part := getdents(descriptor):
        names += [name for name, _, _ in part]
        for victim in left[:12]:
            os.unlink(folder / victim)
            fresh.add(f"{new}-{len(fresh)}")
            os.close(os.open(folder / f"{new}-{len(fresh) - 1}", os.O_CREAT | os.O_WRONLY))
        del left[:12]
    os.close(descriptor)
    assert not left, "the directory was read in too few steps to show anything"
    assert_listed_once(names, going | fresh)
    assert set(os.listdir(folder)) == STAYING | fresh
    return fresh


def test_getdents_while_entries_go_and_come(mounted: MountedStore) -> None:
    folder = crowd(mounted.path / "crowd", STAYING | GOING)
    fresh = list_while_replacing(folder, GOING, "second")
    mounted.remount()  # from here on the entries come from the index, until they change
    fresh = list_while_replacing(folder, fresh, "third")
    mounted.remount()
    assert set(os.listdir(folder)) == STAYING | fresh


def test_scandir_while_other_processes_change_the_directory(mounted: MountedStore) -> None:
    folder = crowd(mounted.path / "crowd", STAYING | GOING)
    remover = start_python(
        """
        import os, sys
        names = [name for name in os.listdir(".") if name.startswith("go-")]
        print("ready", flush=True)
        sys.stdin.readline()
        for name in names:
            os.unlink(name)
        """,
        cwd=folder,
    )
    adder = start_python(
        """
        import os, sys
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(2500):
            os.close(os.open(f"new-{number}", os.O_CREAT | os.O_WRONLY))
            if number % 3 == 0:
                os.rename(f"new-{number}", f"moved-{number}")
        """,
        cwd=folder,
    )
    processes = (remover, adder)
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    listings = 0
    fresh = {f"{word}-{number}" for word in ("new", "moved") for number in range(2500)}
    while listings < 3 or any(process.poll() is None for process in processes):
        with os.scandir(folder) as entries:
            assert_listed_once([entry.name for entry in entries], GOING | fresh)
        listings += 1
    for process in processes:
        wait_for(process)
    assert len(os.listdir(folder)) == 10_000


def test_a_listing_continues_from_any_position_it_ever_gave(mounted: MountedStore) -> None:
    folder = crowd(mounted.path / "crowd", GOING)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    whole = read_directory(descriptor)
    names = [name for name, _, _ in whole]
    assert names[:2] == [".", ".."]
    for at in random.Random(5).sample(range(len(whole)), 10):
        os.lseek(descriptor, whole[at][2], os.SEEK_SET)
        following = [name for name, _, _ in getdents(descriptor)]
        assert following == names[at + 1 :][: len(following)]
    # Removing what lies before the position moves nothing; a rewound listing sees the present state.
    os.lseek(descriptor, whole[1000][2], os.SEEK_SET)
    for name in names[2:1001]:
        os.unlink(folder / name)
    assert [name for name, _, _ in read_directory(descriptor)] == names[1001:]
    os.lseek(descriptor, 0, os.SEEK_SET)
    assert [name for name, _, _ in read_directory(descriptor)] == names[:2] + names[1001:]
    os.close(descriptor)


def test_inode_numbers_and_types_in_a_listing_are_those_of_stat(mounted: MountedStore) -> None:
    os.mkdir(mounted.path / "folder")
    os.symlink("x", mounted.path / "link")
    os.mkfifo(mounted.path / "fifo")
    (mounted.path / "file").write_bytes(b"x")
    for _ in range(2):
        with os.scandir(mounted.path) as entries:
            found = {entry.name: entry for entry in entries}
        assert found.keys() == {"folder", "link", "fifo", "file"}
        assert all(entry.inode() == os.lstat(entry.path).st_ino for entry in found.values())
        assert found["folder"].is_dir(follow_symlinks=False)
        assert found["link"].is_symlink()
        assert found["file"].is_file(follow_symlinks=False)
        mounted.remount()
    descriptor = os.open(mounted.path / "folder", os.O_RDONLY)
    numbers = {name: ino for name, ino, _ in read_directory(descriptor)}
    os.close(descriptor)
    assert numbers == {".": os.stat(mounted.path / "folder").st_ino, "..": os.stat(mounted.path).st_ino}


def test_rm_rf_while_another_process_lists(mounted: MountedStore) -> None:
    tree = mounted.path / "tree"
    for outer in range(20):
        for inner in range(5):
            folder = tree / f"{outer}" / f"{inner}"
            folder.mkdir(parents=True)
            for number in range(20):
                (folder / f"{number}").touch()
    lister = start_python(
        """
        import os
        while os.path.exists("tree"):
            for folder, names, files in os.walk("tree"):
                for name in files:
                    try:
                        os.stat(os.path.join(folder, name))
                    except FileNotFoundError:
                        pass
                if folder == "tree":
                    print("amid it", flush=True)
        """,
        cwd=mounted.path,
    )
    assert lister.stdout is not None
    assert lister.stdout.readline() == "amid it\n"
    run("rm", "-rf", tree)
    wait_for(lister)
    assert os.listdir(mounted.path) == []
    assert os.stat(mounted.path).st_nlink == 2
