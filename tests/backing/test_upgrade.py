"""An old store becomes one of today when it is opened to be written, and is left alone otherwise."""

import json
import subprocess
from pathlib import Path

import apsw
import pytest

import vfs
from tests.formats.tree import HERE
from vfs.backing.places import hash_prefix, signed, unsigned
from vfs.backing.schema import VERSION
from vfs.backing.superblock import FORMAT


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    """A store that version 1 closed."""
    subprocess.run(["tar", "-xzf", HERE / "v1-closed.tar.gz", "-C", tmp_path], check=True)
    return tmp_path / "store"


def said_format(store: Path) -> int:
    return int(json.loads((store / "superblock.json").read_text())["format"])


def test_reading_leaves_it_as_it_is(old_store: Path) -> None:
    before = {
        path: path.read_bytes() for path in old_store.rglob("*") if path.is_file() and path.name != "lock"
    }
    with vfs.open(old_store, read_only=True) as fs:
        assert fs.store.superblock.format == 1
    assert vfs.check(old_store).clean
    assert {path: path.read_bytes() for path in before} == before
    assert not (old_store / "packs").exists()


def test_opening_to_write_upgrades_it_for_good(old_store: Path) -> None:
    with vfs.open(old_store) as fs:
        rows = list(fs.store.index.meta().items())
        assert ("schema", VERSION) in rows
    assert said_format(old_store) == FORMAT
    assert (old_store / "packs").is_dir()
    connection = apsw.Connection(str(old_store / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
    assert {chunk for (chunk,) in connection.execute("SELECT chunk FROM extent")} == {0}
    connection.close()


def test_an_upgrade_that_was_cut_short_is_done_again(old_store: Path) -> None:
    (old_store / "packs").mkdir()
    with vfs.open(old_store):
        pass
    assert said_format(old_store) == FORMAT
    assert vfs.check(old_store).clean


def test_numbers_of_64_bits_pass_through_sqlite() -> None:
    for number in (0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        assert -(1 << 63) <= signed(number) < 1 << 63
        assert unsigned(signed(number)) == number
    assert hash_prefix(b"\xff" * 32) == -1
