"""`vfs fsck --data`, of a store and of a mount: what is read, how fast, and which files are hit by damage."""

import random
from pathlib import Path

import pytest

import vfs as library
from tests.cli.shell import vfs
from tests.packed_stores import flip, packs


@pytest.fixture
def packed(store: Path) -> Path:
    """A store with a pack."""
    with library.open(store) as fs:
        fs.write_bytes("/whole", b"a line of text\n" * 9000)
        fs.flush()
        fs.write_bytes("/näme", random.Random(1).randbytes(300_000))
        fs.flush()
    return store


def test_a_healthy_store(packed: Path) -> None:
    ran = vfs("fsck", "--data", packed)
    assert ran.code == 0, ran.out
    lines = ran.out.splitlines()
    assert lines[0].startswith("read ")
    assert lines[0].endswith(" MB/s")
    assert "clean" in lines[-1]
    document = vfs("fsck", "--data", "--json", packed).document
    assert document["clean"] is True
    assert document["data_bytes"] > 300_000
    assert document["files_damaged"] == []


def test_damaged_files_are_named(packed: Path) -> None:
    flip(packs(packed)[0], 100_000)
    assert vfs("fsck", packed).code == 0, "the block itself is not read"
    ran = vfs("fsck", "--data", packed)
    assert ran.code == 4
    assert "damaged: /näme" in ran.out.splitlines()
    document = vfs("fsck", "--data", "--json", packed).document
    assert document["files_damaged"] == ["/näme"]
    assert [problem["kind"] for problem in document["problems"]] == ["data"]


@pytest.mark.mounted
def test_a_mounted_store(packed: Path, point: Path) -> None:
    assert vfs("mount", packed, point).code == 0
    (point / "raw").write_bytes(random.Random(2).randbytes(30_000))  # in the log, or packed by now
    document = vfs("fsck", "--data", "--json", point).document
    assert document["clean"] is True, document
    assert document["data_bytes"] > 330_000
    flip(packs(packed)[0], 100_000)
    document = vfs("fsck", "--data", "--json", point).document
    assert document["files_damaged"] == ["/näme"]
    assert (point / "whole").read_bytes() == b"a line of text\n" * 9000
    assert vfs("umount", point).code == 0
