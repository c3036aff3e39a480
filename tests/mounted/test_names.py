"""Names of files: every byte but two, up to 255 of them."""

import errno
import os
import random
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore

pytestmark = pytest.mark.mounted

ANY_BYTE = bytes(set(range(1, 256)) - {ord("/")})


def test_names_of_any_bytes_up_to_255(mounted: MountedStore) -> None:
    root = os.fsencode(mounted.path)
    chance = random.Random(10)
    names = {
        b"a" * 255,
        "ä".encode() * 127,
        b"\xff\xfe\x80",
        b"\n",
        b" ",
        b"...",
        b"-rf",
        b"*",
        b"\\",
        ANY_BYTE,
    }
    names |= {bytes(chance.choices(ANY_BYTE, k=chance.randrange(3, 256))) for _ in range(200)}
    for name in names:
        with open(os.path.join(root, name), "wb") as file:
            file.write(name)
    for _ in range(2):
        assert set(os.listdir(root)) == names
        for name in names:
            assert Path(os.fsdecode(os.path.join(root, name))).read_bytes() == name
        mounted.remount()
    for name in names:
        os.unlink(os.path.join(root, name))
    assert os.listdir(root) == []


def test_names_that_differ_only_in_case_or_form_are_different(mounted: MountedStore) -> None:
    names = {"a", "A", "\u00e4", "a\u0308"}
    for name in names:
        (mounted.path / name).write_text(name)
    mounted.remount()
    assert {name: (mounted.path / name).read_text() for name in os.listdir(mounted.path)} == {
        name: name for name in names
    }


def test_a_name_of_256_bytes_is_refused_by_every_operation(mounted: MountedStore) -> None:
    file, long = mounted.path / "file", mounted.path / ("x" * 256)
    file.touch()
    for attempt in (
        lambda: long.write_bytes(b""),
        lambda: long.mkdir(),
        lambda: os.symlink("x", long),
        lambda: os.mkfifo(long),
        lambda: os.link(file, long),
        lambda: os.rename(file, long),
        lambda: os.unlink(long),
        lambda: os.stat(long),
    ):
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno == errno.ENAMETOOLONG
    assert os.listdir(mounted.path) == ["file"]


def test_deep_paths_and_the_way_back(mounted: MountedStore) -> None:
    deepest = mounted.path.joinpath(*["d" * 100] * 30)
    deepest.mkdir(parents=True)
    (deepest / "file").write_text("deep")
    mounted.remount()
    assert (deepest / "file").read_text() == "deep"
    assert os.path.samefile(deepest.joinpath(*[".."] * 30), mounted.path)
    assert os.path.samefile(mounted.path / "..", mounted.path.parent)
