"""Damage to the log of a store that was killed: what verifies before and behind it is kept."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import vfs
from tests.crash.trees import Tree
from tests.repair.stores import FOUND, Mended, check_life_goes_on, crashed, make, mend, shown, unlike
from vfs.backing.log_salvage import SalvagedFrame, salvage_frames, survey
from vfs.backing.storage import DirectoryStorage
from vfs.backing.superblock import Superblock
from vfs.changes import Change, Create, Rename, Truncate, Write, decode
from vfs.errors import RangeLost


class Killed(NamedTuple):
    """A store, what it should show, and the frames that its index does not have."""

    path: Path
    tree: Tree
    frames: list[SalvagedFrame]

    def frame(self, kind: type[Change], which: int = 0) -> SalvagedFrame:
        """One frame with such a record."""
        return [frame for frame in self.frames if isinstance(decode(frame.command), kind)][which]

    def chunk(self, frame: SalvagedFrame) -> Path:
        """The file that a frame lies in."""
        return self.path / "log" / f"chunk-{frame.place.chunk:08d}"

    def change(
        self, frame: SalvagedFrame, offset: int, change: Callable[[bytes], bytes], length: int
    ) -> None:
        """Change bytes of a frame, counted from its header."""
        path = self.chunk(frame)
        data = bytearray(path.read_bytes())
        at = frame.place.frame + offset
        data[at : at + length] = change(bytes(data[at : at + length]))
        path.write_bytes(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """The store of which all others are copies."""
    path = make(tmp_path_factory.mktemp("made") / "store")
    crashed(path)
    with vfs.open(path, read_only=True) as fs:
        lsn = fs.store.index.meta()["lsn"]
    storage = DirectoryStorage(path)
    uuid = Superblock.read(storage).uuid
    found = salvage_frames(storage, uuid, lsn, survey(storage, uuid).synced_lsn)
    frames = [frame for frame in found if isinstance(frame, SalvagedFrame)]
    storage.close()
    return Killed(path, shown(path), frames)


@pytest.fixture
def killed(made: Killed, tmp_path: Path) -> Killed:
    """A copy to be damaged."""
    return made._replace(path=Path(shutil.copytree(made.path, tmp_path / "store")))


def flip(data: bytes) -> bytes:
    return bytes((data[0] ^ 16, *data[1:]))


def zeros(data: bytes) -> bytes:
    return bytes(len(data))


def changed(mended: Mended, killed: Killed) -> set[str]:
    """Paths that are other than they should be."""
    lines = unlike(mended.tree, killed.tree)
    return {
        path
        for path in killed.tree.keys() | mended.tree.keys()
        if any(repr(path) in x or f": {path} " in x for x in lines)
    }


@pytest.mark.parametrize("offset", [0, 5, 9, 17, 25, 33, 41, 55])
def test_one_wrong_bit_in_the_head_of_a_frame_is_put_right(killed: Killed, offset: int) -> None:
    killed.change(killed.frame(Write, 4), offset, flip, 1)
    mended = mend(killed.path)
    assert unlike(mended.tree, killed.tree) == []
    assert mended.says("have a wrong bit: it is put right")


def test_wrong_data_is_lost_as_finely_as_sums_go(killed: Killed) -> None:
    frame = killed.frame(Write, 9)
    path = next(p for p, node in killed.tree.items() if p and node[0][0] == decode(frame.command).ino)
    killed.change(frame, frame.place.start - frame.place.frame + 40_000, flip, 1)
    mended = mend(killed.path)
    assert changed(mended, killed) == {path}
    [loss] = mended.plan.losses
    assert (loss.path, loss.lost_bytes) == (path, 32 * 1024)
    with vfs.open(killed.path, read_only=True) as fs:
        ino = fs.resolve(path).ino
        with pytest.raises(RangeLost):
            fs.read(ino, 40_000, 10)
        assert len(fs.read(ino, 0, 32 * 1024)) == 32 * 1024
    check_life_goes_on(killed.path)


def test_a_lost_creation_leaves_the_content_without_a_name(killed: Killed) -> None:
    frame = killed.frame(Create, 3)
    ino = decode(frame.command).ino
    path = next(p for p, node in killed.tree.items() if p and node[0][0] == ino)
    killed.change(frame, 0, zeros, 60)
    mended = mend(killed.path)
    assert mended.tree[f"{FOUND}/inode-{ino}"][2] == killed.tree[path][2]
    assert changed(mended, killed) == {path, "/a"}
    assert mended.says(
        f"records {frame.lsn} to {frame.lsn} are lost, in chunk {frame.place.chunk} from offset"
    )
    check_life_goes_on(killed.path)


def test_what_comes_behind_a_lost_write_is_not_zeros_before_it(killed: Killed) -> None:
    """A file is written in two pieces; the record of the first is lost."""
    fs = vfs.open(killed.path)
    ino = fs.mknod(1, b"two", 0o644).ino
    fs.write(ino, 0, b"first" * 2000)
    place = fs.log.last_place
    fs.write(ino, 10_000, b"second" * 2000)
    fs.sync()
    fs.mknod(1, b"marks", 0o644)
    fs.sync()
    fs.store.close()
    assert place is not None
    killed.change(SalvagedFrame(0, b"", place, 0, None), 0, zeros, 70)
    mend(killed.path)
    with vfs.open(killed.path, read_only=True) as fs:
        ino = fs.resolve("/two").ino
        assert fs.read(ino, 10_000, 12_000) == b"second" * 2000
        with pytest.raises(RangeLost):
            fs.read(ino, 0, 100)


@pytest.mark.parametrize("kind", [Rename, Truncate])
def test_a_lost_record_of_another_kind_changes_nothing_else(killed: Killed, kind: type[Change]) -> None:
    killed.change(killed.frame(kind), 0, zeros, 50)
    mended = mend(killed.path)
    expected = {Rename: {"/", "/last", "/a/b/c", "/a/b/c/moved"}, Truncate: {"/a/text"}}[kind]
    assert changed(mended, killed) <= expected
    assert mended.says("what they changed is not known")


def test_a_chunk_that_is_gone(killed: Killed) -> None:
    killed.chunk(killed.frames[0]).unlink()
    mended = mend(killed.path)
    assert mended.tree["/a/copy"] == killed.tree["/a/copy"], "packed before"
    check_life_goes_on(killed.path)


def test_a_chunk_without_its_header_gets_one(killed: Killed) -> None:
    fs = vfs.open(killed.path)
    fs.roll_log()
    fs.sync()
    fs.store.close()
    path = killed.chunk(killed.frames[0])
    data = path.read_bytes()
    path.write_bytes(bytes(64) + data[64:])
    mended = mend(killed.path)
    assert changed(mended, killed) == set()
    assert mended.says("gets a new header")
    check_life_goes_on(killed.path)


def test_a_torn_tail_is_no_damage(killed: Killed) -> None:
    """What was never known to be durable is cut by the next opening, as ever."""
    path = killed.chunk(killed.frames[-1])
    with path.open("ab") as file:
        file.write(b"vFrm and then nothing that makes sense")
    assert vfs.check(killed.path, data=True).clean


def test_a_damaged_chunk_that_nothing_needs_is_kept_aside(killed: Killed) -> None:
    fs = vfs.open(killed.path, pack_workers=0)
    fs.flush()
    fs.autopilot = False
    fs.mknod(1, b"one", 0o644)
    place = fs.log.last_place
    fs.mknod(1, b"two", 0o644)
    fs.sync()
    fs.mknod(1, b"three", 0o644)
    fs.sync()
    fs.store.close()
    assert place is not None
    killed.change(SalvagedFrame(0, b"", place, 0, None), 0, zeros, 50)
    mend(killed.path)
    assert (killed.path / "damaged" / "1" / f"log-chunk-{place.chunk:08d}").exists()
    tree = shown(killed.path)
    assert "/two" in tree
    assert "/three" in tree
    assert "/one" not in tree


def test_every_file_that_loses_bytes_is_named_once(tmp_path: Path) -> None:
    """Also when there are many, and not again when a later repair finds something else."""
    store = tmp_path / "store"
    vfs.mkfs(store)
    with vfs.open(store) as fs:
        for number in range(1500):
            fs.write_bytes(f"/{number}", b"%d " % number * 30)
    chunk = sorted((store / "log").iterdir())[0]
    chunk.write_bytes(chunk.read_bytes()[:64])
    mended = mend(store)
    assert {loss.path for loss in mended.plan.losses} == {f"/{number}" for number in range(1500)}
    assert mended.plan.lost_bytes == sum(len(b"%d " % number * 30) for number in range(1500))
    (store / "superblock.json").write_text("{}")
    assert mend(store).plan.losses == []
