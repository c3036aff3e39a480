"""fsck of packed data: every kind of damage to rows and files is found, and names the files that it hits."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

import vfs
from tests.packed_stores import block, flip, noise, packs, text
from tests.test_checker import damage
from vfs.backing.creation import CreationOptions
from vfs.backing.pack_format import BLOB, BLOCK, TRAILER_BYTES
from vfs.checker import check_committed
from vfs.errors import DataDamaged

KIB = 1024


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some files in packs of small blocks; the last pack holds /last alone."""
    path = tmp_path_factory.mktemp("made") / "store"
    vfs.mkfs(path, CreationOptions(block_bytes=16 * KIB, blob_bytes=4 * KIB))
    with vfs.open(path, pack_workers=0) as fs:
        fs.make_directory("/a/b", parents=True)
        fs.write_bytes("/a/b/noise", noise(1, 70_000))
        fs.flush()
        fs.write_bytes("/a/text", text(1, 50_000))
        fs.write_bytes("/a/copy", text(1, 50_000))
        fs.flush()
        fs.write_bytes("/last", text(2, 3_000))
        fs.flush()
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of that, to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "store"))


def found(store: Path, *, data: bool = False) -> tuple[set[str], list[str]]:
    """Kinds of problems, and damaged files."""
    report = vfs.check(store, data=data)
    return {problem.kind for problem in report.problems}, report.files_damaged


def test_what_a_healthy_store_counts(store: Path) -> None:
    report = vfs.check(store, data=True)
    assert report.clean, report.problems
    assert report.counts["packs"] == 3
    assert report.counts["blocks"] >= 5
    assert report.counts["blobs"] >= 10
    assert report.files_damaged == []
    assert report.notes == []
    assert report.data_bytes > 0
    assert report.data_seconds > 0


def test_progress_of_data_is_told_in_bytes(store: Path) -> None:
    told: list[tuple[int, int, str]] = []
    vfs.check(store, lambda done, total, what: told.append((done, total, what)), data=True)
    data = [each for each in told if "MB/s" in each[2]]
    assert data
    done, total, _ = data[-1]
    assert 0 < done <= total


# --- rows ---------------------------------------------------------------------------------------

A_BLOB = "(SELECT max(id) FROM blob)"
ROW_DAMAGE: dict[str, tuple[str, str]] = {
    "a blob that is not there": (f"DELETE FROM blob WHERE id={A_BLOB}", "extent"),
    "a blob that is too short": (f"UPDATE blob SET length=length-1 WHERE id={A_BLOB}", "extent"),
    "a blob without a block": (f"UPDATE blob SET block=9999 WHERE id={A_BLOB}", "blob"),
    "a blob past its block": (f"UPDATE blob SET offset=offset+100000 WHERE id={A_BLOB}", "blob"),
    "a blob before its block": (f"UPDATE blob SET offset=-1 WHERE id={A_BLOB}", "blob"),
    "a blob without bytes": (f"UPDATE blob SET length=0 WHERE id={A_BLOB}", "blob"),
    "a blob over another": (
        "UPDATE blob SET offset=offset-1 WHERE id=(SELECT id FROM blob WHERE offset>0 ORDER BY id LIMIT 1)",
        "blob",
    ),
    "a blob of another hash": (f"UPDATE blob SET prefix=prefix+1 WHERE id={A_BLOB}", "blob"),
    "a blob in another block": (
        "UPDATE blob SET block=(SELECT min(id) FROM block) WHERE id=" + A_BLOB,
        "blob",
    ),
    "a blob that no pack has": (
        "INSERT INTO blob SELECT 700, 1, block, offset+length, 1, 0 FROM blob WHERE id=" + A_BLOB,
        "blob",
    ),
    "a blob counted too often": (f"UPDATE blob SET refs=refs+1 WHERE id={A_BLOB}", "blob"),
    "a block without a pack": ("UPDATE block SET pack=77 WHERE id=(SELECT max(id) FROM block)", "block"),
    "a block outside of its pack": ("UPDATE block SET offset=10000000 WHERE offset=64", "block"),
    "a block in the header": ("UPDATE block SET offset=32 WHERE offset=64", "block"),
    "a block over another": (
        "UPDATE block SET stored=stored+1 WHERE id=(SELECT min(id) FROM block)",
        "block",
    ),
    "a block of another size": ("UPDATE block SET size=size+1 WHERE id=(SELECT max(id) FROM block)", "block"),
    "a block of another checksum": ("UPDATE block SET checksum=checksum+1", "block"),
    "a block of another codec": ("UPDATE block SET codec=1-codec", "block"),
    "a block that is not there": ("DELETE FROM block WHERE id=(SELECT max(id) FROM block)", "blob"),
    "a block that no pack has": ("UPDATE block SET id=800 WHERE id=(SELECT max(id) FROM block)", "block"),
    "a pack of another size": ("UPDATE pack SET size=size+1", "pack"),
    "a pack of another name": ("UPDATE pack SET name=replace(name, 'a', 'b')", "pack"),
    "a pack that has another number": (
        "UPDATE pack SET id=id+10 WHERE id=(SELECT max(id) FROM pack)",
        "pack",
    ),
    "a pack that is not there": ("DELETE FROM pack WHERE id=(SELECT max(id) FROM pack)", "pack"),
    "a pack of no state": ("UPDATE pack SET state=5 WHERE id=(SELECT max(id) FROM pack)", "pack"),
    "a pack on its way out with blocks": (
        "UPDATE pack SET state=2 WHERE id=(SELECT max(id) FROM pack)",
        "block",
    ),
    "blob_bytes": ("UPDATE meta SET value=value+1 WHERE key='blob_bytes'", "totals"),
    "referenced_bytes": ("UPDATE meta SET value=value-1 WHERE key='referenced_bytes'", "totals"),
    "next_blob": ("UPDATE meta SET value=1 WHERE key='next_blob'", "sequence"),
    "next_block": ("UPDATE meta SET value=1 WHERE key='next_block'", "sequence"),
    "next_pack": ("UPDATE meta SET value=1 WHERE key='next_pack'", "sequence"),
}


@pytest.mark.parametrize("name", ROW_DAMAGE)
def test_damage_to_a_row_is_found(store: Path, name: str) -> None:
    sql, kind = ROW_DAMAGE[name]
    damage(store, sql)
    assert kind in found(store)[0]


@pytest.mark.parametrize(("name", "text"), [("blob", "the blob before it"), ("block", "the block before it")])
def test_what_overlaps_is_told_with_what_it_overlaps(store: Path, name: str, text: str) -> None:
    damage(store, ROW_DAMAGE[f"a {name} over another"][0])
    messages = [problem.message for problem in vfs.check(store).problems]
    assert any(text in message for message in messages), messages


def test_a_blob_that_its_pack_does_not_have_is_found(store: Path) -> None:
    damage(store, f"UPDATE blob SET id=700 WHERE id={A_BLOB}")
    messages = [problem.message for problem in vfs.check(store).problems]
    assert any("blob 700 is not in pack" in message for message in messages), messages


@pytest.mark.parametrize("value", ["NULL", "99999999"])
def test_a_lowest_chunk_that_is_not_the_lowest_is_found(store: Path, value: str) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("/raw", b"not packed" * 100)
    ino = f"(SELECT ino FROM entry WHERE name=x'{b'raw'.hex()}')"
    damage(store, f"UPDATE extent SET chunk={value} WHERE ino={ino}")
    assert "extent" in found(store)[0]


def test_a_lowest_chunk_may_be_unknown(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("/raw", b"not packed" * 100)
    damage(store, "UPDATE extent SET chunk=0 WHERE chunk NOT NULL")
    assert vfs.check(store).clean


@pytest.mark.parametrize("state", [0, 2])
def test_a_pack_that_comes_or_goes_explains_files_that_no_row_names(store: Path, state: int) -> None:
    (store / "packs" / "new-77").write_bytes(b"half a pack")
    assert "pack" in found(store)[0]
    damage(store, f"INSERT INTO pack VALUES(77, {state}, '', 0)")
    damage(store, "UPDATE meta SET value=100 WHERE key='next_pack'")
    report = vfs.check(store)
    assert report.clean, report.problems
    assert any("new-77" in note for note in report.notes)
    with vfs.open(store):
        pass  # removes it
    assert not (store / "packs" / "new-77").exists()
    assert vfs.check(store).notes == []


# --- files ----------------------------------------------------------------------------------------


def test_a_missing_pack_is_found_with_the_files_that_need_it(store: Path) -> None:
    packs(store)[-1].unlink()
    assert found(store) == ({"pack"}, ["/last"])


def test_a_truncated_pack_is_found(store: Path) -> None:
    path = packs(store)[-1]
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert found(store) == ({"pack"}, []), "all blocks are there, and the index knows where"
    path.write_bytes(data[: place_of_tables_in(data)[0] - 1])
    assert found(store) == ({"pack"}, ["/last"])


def test_a_strange_file_among_the_packs_is_found(store: Path) -> None:
    (store / "packs" / "notes.txt").write_text("what is this?")
    assert found(store) == ({"pack"}, [])


def place_of_tables(path: Path) -> tuple[int, int]:
    """Where the block table and the blob index of a pack begin."""
    return place_of_tables_in(path.read_bytes())


def place_of_tables_in(data: bytes) -> tuple[int, int]:
    blocks, blobs = (int.from_bytes(data[-56 + 4 * n : -52 + 4 * n], "little") for n in range(2))
    index = len(data) - TRAILER_BYTES - blobs * BLOB.size
    return index - blocks * BLOCK.size, index


PARTS: dict[str, Callable[[Path], int]] = {
    "magic": lambda path: 3,
    "header": lambda path: 20,
    "the header's zeros": lambda path: 50,
    "block table": lambda path: place_of_tables(path)[0] + 12,
    "blob index": lambda path: place_of_tables(path)[1] + 40,
    "a hash": lambda path: place_of_tables(path)[1] + 5,
    "trailer": lambda path: path.stat().st_size - 30,
    "the last byte": lambda path: path.stat().st_size - 1,
}


@pytest.mark.parametrize("name", PARTS)
def test_a_flipped_bit_in_the_tables_of_a_pack_is_found(store: Path, name: str) -> None:
    path = packs(store)[-1]
    flip(path, PARTS[name](path))
    assert found(store) == ({"pack"}, [])
    assert found(store, data=True) == ({"pack"}, [])
    with vfs.open(store, read_only=True) as fs:
        assert fs.read_bytes("/last") == text(2, 3_000), "fsck does not name what can be read"


def test_data_is_verified_also_where_the_tables_are_damaged(store: Path) -> None:
    path = packs(store)[1]
    wrong = block(store, path, codec=1)
    flip(path, wrong.offset + wrong.stored // 2)
    flip(path, PARTS["trailer"](path))
    assert found(store, data=True) == ({"pack", "data"}, ["/a/copy", "/a/text"])


def test_a_flipped_bit_in_a_compressed_block_hits_only_the_files_of_that_block(store: Path) -> None:
    path = packs(store)[1]
    wrong = block(store, path, codec=1)
    flip(path, wrong.offset + wrong.stored // 2)
    assert found(store) == (set(), []), "its tables are all right"
    assert found(store, data=True) == ({"data"}, ["/a/copy", "/a/text"])
    assert vfs.check(store, data=True).problem_count == 1
    with vfs.open(store, read_only=True) as fs:
        assert fs.read_bytes("/a/b/noise") == noise(1, 70_000)
        assert fs.read_bytes("/last") == text(2, 3_000)
        with pytest.raises(DataDamaged):
            fs.read_bytes("/a/text")


@pytest.mark.parametrize("at", ["sums", "data"])
def test_a_flipped_bit_in_a_block_that_is_stored_as_it_is(store: Path, at: str) -> None:
    path = packs(store)[0]
    wrong = block(store, path, codec=0)
    flip(path, wrong.offset + (2 if at == "sums" else wrong.stored - 5))
    assert found(store, data=True) == ({"data"}, ["/a/b/noise"])


def test_a_blob_of_another_hash_in_a_sound_block(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vfs.open(store, pack_workers=0) as fs, monkeypatch.context() as patch:
        patch.setattr("vfs.backing.pack_session.blake3", lambda data: blake3(bytes(data) + b"!"))
        fs.write_bytes("/wrong", noise(5, 3_000))
        fs.flush()
    assert found(store) == (set(), [])
    report = vfs.check(store, data=True)
    assert ["is not what its hash says" in problem.message for problem in report.problems] == [True]
    assert report.files_damaged == ["/wrong"]


def test_a_damaged_range_of_the_log_is_found_with_its_file(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("/raw", b"in the log" * 4000)
        chunk = fs.log.chunk_numbers()[-1]
    path = store / "log" / f"chunk-{chunk:08d}"
    flip(path, path.read_bytes().index(b"in the log" * 10) + 5000)
    assert found(store) == (set(), [])
    assert found(store, data=True) == ({"data"}, ["/raw"])


def test_a_file_that_points_nowhere_is_named(store: Path) -> None:
    damage(store, "DELETE FROM blob WHERE id=(SELECT max(id) FROM blob)")
    assert found(store)[1] == ["/last"]


def test_a_damaged_file_without_a_name_is_told_by_its_number(store: Path) -> None:
    fs = vfs.open(store)
    ino = fs.resolve("/last").ino
    fs.open(ino)
    fs.unlink(1, b"last")
    fs.checkpoint()
    fs.store.close()  # killed, while the file was open
    packs(store)[-1].unlink()
    assert f"inode {ino}" in found(store)[1]


def test_a_mounted_store_is_checked_with_its_data(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.write_bytes("/more", text(3, 20_000))
        fs.flush()
        epoch = fs.epochs.enter()
        report = check_committed(fs, data=True)
        fs.epochs.leave(epoch)
    assert report.clean, report.problems
    assert report.counts["packs"] == 4
