"""Random damage anywhere in a store: a repair always ends with one that opens, everything that reads is what
was written, and a second repair finds nothing. `make repair SEEDS=n` runs more of it.

What was written is known piece by piece: every 64 bytes of every file name the file, the place and the
version, so a wrong byte shows wherever it comes from.
"""

import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import vfs
from tests.crash.surroundings import Clock, repeat
from tests.packed_stores import KIB
from tests.repair.stores import FOUND, digests, kill, mended_or_whole
from vfs.backing.creation import CreationOptions
from vfs.errors import DataDamaged
from vfs.filesystem import FileSystem

SEEDS = int(os.environ.get("VFS_REPAIR_SEEDS", "0"))
FIRST_SEED = int(os.environ.get("VFS_REPAIR_FIRST_SEED", "0"))
FAILED_ONCE = (9105,)
LIVES = range(FIRST_SEED, FIRST_SEED + SEEDS) if SEEDS else (*range(24), *FAILED_ONCE)
PIECE_BYTES = 64


def content(number: int, version: int, length: int) -> bytes:
    """What file `number` holds in that version."""
    pieces = (b"%07d.%03d.%06d|" % (number, version, at) for at in range(-(-length // PIECE_BYTES)))
    noise = random.Random(number * 1000 + version)
    return b"".join(piece + noise.randbytes(PIECE_BYTES - len(piece)) for piece in pieces)[:length]


class Known:
    """What was written: for each name of a file all versions, the last one last."""

    def __init__(self) -> None:
        self.versions: dict[str, list[bytes]] = {}

    def write(self, fs: FileSystem, path: str, number: int, length: int) -> None:
        """Write a file as a whole."""
        before = self.versions.setdefault(path, [])
        before.append(content(number, len(before), length))
        fs.write_bytes(path, before[-1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Known]:
    """A store that was closed, the same one after more work and a kill, and what was written into them."""
    return make(tmp_path_factory.mktemp("random") / "closed")


def make(path: Path) -> tuple[Path, Path, Known]:
    """The first of them at that path. The same bytes under the same names each time, so that a seed always is
    the same damage."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        repeat(patch, clock)
        patch.setattr(time, "time_ns", clock)
        return write(path)


def write(path: Path) -> tuple[Path, Path, Known]:
    """What `make` makes, by the clock that there is."""
    known = Known()
    rng = random.Random(7)
    vfs.mkfs(path, CreationOptions(block_bytes=16 * KIB, blob_bytes=4 * KIB))
    with vfs.open(path, pack_workers=0) as fs:
        fs.autopilot = False
        for number in range(60):
            if number % 20 == 0:
                fs.make_directory(f"/d{number // 20}/deep", parents=True)
            folder = f"/d{number // 20}" + ("/deep" if number % 3 else "")
            known.write(fs, f"{folder}/f{number}", number, rng.choice((0, 50, 3_000, 40_000)))
            if number in (25, 45):
                fs.flush()
        for number in range(0, 60, 7):
            again = next(name for name in known.versions if name.endswith(f"/f{number}"))
            known.write(fs, again, number, rng.choice((10, 5_000, 30_000)))
    crashed = path.parent / "crashed"
    shutil.copytree(path, crashed)
    fs = vfs.open(crashed, pack_workers=0)
    fs.autopilot = False
    for number in range(60, 75):
        known.write(fs, f"/d0/n{number}", number, rng.choice((50, 3_000, 20_000)))
        if number == 66:
            fs.checkpoint()  # so that SQLite's own log has something
    fs.sync()
    fs.mknod(1, b"marks", 0o644)
    fs.sync()
    kill(fs, crashed)
    return path, crashed, known


# --- damage ---------------------------------------------------------------------------------------


def flip_bits(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 3, 20)) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def zero_page(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    size = rng.choice((512, 4096, 4096, 16384))
    if data:
        at = rng.randrange(len(data)) // size * size
        data[at : at + size] = bytes(len(data[at : at + size]))
    path.write_bytes(data)


def overwrite(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if data:
        at = rng.randrange(len(data))
        piece = rng.randbytes(min(rng.choice((16, 700, 5000)), len(data) - at))
        data[at : at + len(piece)] = piece
    path.write_bytes(data)


def truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) + 1)])


def delete(path: Path, rng: random.Random) -> None:
    path.unlink()


WAYS: list[Callable[[Path, random.Random], None]] = [
    flip_bits,
    flip_bits,
    zero_page,
    overwrite,
    truncate,
    delete,
]


def harm(store: Path, rng: random.Random) -> list[str]:
    """Damage one to four files of a store; says how."""
    done = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        files = [file for file in sorted(store.rglob("*")) if file.is_file() and file.name != "lock"]
        index = [file for file in files if file.name.startswith("index.db")]
        path = rng.choice(index if index and rng.random() < 0.4 else files)
        way = rng.choice(WAYS)
        way(path, rng)
        done.append(f"{way.__name__} {path.relative_to(store)}")
    return done


# --- what must hold afterwards -----------------------------------------------------------------------


def check_contents(store: Path, known: Known, *, log_is_damaged: bool) -> None:
    """Every file that reads is what was written there, in pieces where a part is lost.

    Where records of the log are lost, a file may be as it was before them: made and still empty.
    """
    with vfs.open(store, read_only=True) as fs:
        for path, ino in walk(fs, "/", 1):
            if path.startswith(FOUND) or path == "/marks":
                continue
            assert path in known.versions, f"{path} was never there"
            versions = known.versions[path] + [b""] * log_is_damaged
            size = fs.get(ino).size
            try:
                assert fs.read(ino, 0, size) in versions, (
                    f"{path}, {size} bytes, is no version of what it was"
                )
            except DataDamaged:
                for at in range(0, size, PIECE_BYTES):
                    with suppress(DataDamaged):
                        piece = bytes(fs.read(ino, at, PIECE_BYTES))
                        assert piece in {version[at : at + PIECE_BYTES] for version in versions}, (path, at)


def walk(fs: FileSystem, path: str, ino: int) -> list[tuple[str, int]]:
    """(path, inode) of all regular files below a directory."""
    found = []
    cookie = 0
    directory = fs.table.directory(fs.get(ino))
    while rows := directory.list_after(cookie, 100):
        for name, child, cookie, kind in rows:  # noqa: B007 - the last cookie is where to go on
            below = f"{path.rstrip('/')}/{name.decode()}"
            if kind == 4:
                found += walk(fs, below, child)
            elif kind == 8:
                found.append((below, child))
    return found


def test_a_seed_is_the_same_damage_each_time(made: tuple[Path, Path, Known], tmp_path: Path) -> None:
    again = make(tmp_path / "again")
    for one, other in zip(made[:2], again[:2], strict=True):
        found = [digests(one), digests(other)]
        for name in ("index.db-wal", "index.db-shm"):  # they begin with a number that SQLite draws by lot
            assert len({bool(each.pop(name, None)) for each in found}) == 1
        assert found[0] == found[1]


@pytest.mark.parametrize("seed", LIVES)
def test_random_damage(made: tuple[Path, Path, Known], tmp_path: Path, seed: int) -> None:
    closed, crashed, known = made
    rng = random.Random(seed)
    store = Path(shutil.copytree(rng.choice((closed, crashed)), tmp_path / "store"))
    done = harm(store, rng)
    print(seed, done)
    mended_or_whole(store)
    check_contents(store, known, log_is_damaged=any(" log/" in each for each in done))
    if seed % 5 == 0:
        with vfs.open(store, pack_workers=0) as fs, suppress(DataDamaged):
            fs.write_bytes("/one more", b"life goes on" * 1000)
            fs.flush()
        report = vfs.check(store, data=True)
        assert report.clean, report.problems
