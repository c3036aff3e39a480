"""The data whose stored size is compared: a source tree twice, checkpoints, logs, media.

Promises folders of plain files, the same ones for the same scale on one machine, and says how large they are.
It never keeps more than one checkpoint in memory, and reads the machine's own files but changes none.
"""

import os
import random
import shutil
import stat
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import material
from bench.sizes import MIB

SPOT_BYTES = 4096
CHANGED_PART = 0.01
INSERTIONS = 10
LARGEST_INSERTION = 5000
SEED = 2026


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    tree_bytes: int
    checkpoints: int
    checkpoint_bytes: int
    log_files: int
    log_bytes: int
    media_files: int
    media_bytes: int
    rounds: int


SCALES = {
    "full": Scale(250 * MIB, 10, 100 * 10**6, 12, 24 * MIB, 24, 16 * MIB, 3),
    "medium": Scale(60 * MIB, 10, 20 * 10**6, 12, 4 * MIB, 8, 8 * MIB, 1),
    "small": Scale(3 * MIB, 3, 10**6, 2, MIB // 2, 2, MIB // 2, 1),
}


@dataclass(frozen=True)
class Dataset:
    name: str
    says: str
    make: Callable[[Path, Scale], None]
    """Fills a folder that is there and empty."""
    at_least: float | None = 1.0
    """What the stored size of restic and borg over that of vfs should reach."""


# -- (a) a source tree, twice --------------------------------------------------------------------


def _source_folders() -> list[Path]:
    """Trees of source text that a Debian has, the likely ones first, the ones of any machine last."""
    usr = Path("/usr")
    python = sorted((usr / "lib").glob("python3*"))
    site_packages = Path(sysconfig.get_path("purelib"))
    library = Path(sysconfig.get_path("stdlib"))
    wanted = [usr / "include", *python, library, site_packages, usr / "share/doc", usr / "share", usr / "lib"]
    return [folder for folder in wanted if folder.is_dir()]


def _source_files(folder: Path) -> Iterator[Path]:
    """Regular files and symbolic links below `folder` that anybody may read, in order of name."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            path = Path(place) / name
            if path.is_symlink() or (stat.S_ISREG(path.stat().st_mode) and os.access(path, os.R_OK)):
                yield path


def _make_tree(folder: Path, scale: Scale) -> None:
    first, left = folder / "first", scale.tree_bytes
    for source in _source_folders():
        for path in _source_files(source):
            if left <= 0:
                break
            copy = first / path.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.is_symlink() and not copy.exists():
                shutil.copy2(path, copy, follow_symlinks=False)
                left -= copy.lstat().st_size
    shutil.copytree(first, folder / "second", symlinks=True)


# -- (b) checkpoints -----------------------------------------------------------------------------


def _change(data: bytearray, chance: random.Random) -> None:
    """Another 1 % of `data`, in spots of 4 KiB scattered over it."""
    spots = len(data) // SPOT_BYTES
    for spot in chance.sample(range(spots), max(1, int(spots * CHANGED_PART))):
        data[spot * SPOT_BYTES : (spot + 1) * SPOT_BYTES] = material.floats(chance, SPOT_BYTES)


def _insert(data: bytearray, chance: random.Random) -> None:
    """A few bytes more at a few places, so that all behind them moves."""
    for place in sorted(chance.sample(range(len(data)), INSERTIONS), reverse=True):
        data[place:place] = chance.randbytes(chance.randint(1, LARGEST_INSERTION))


def _checkpoints(*changes: Callable[[bytearray, random.Random], None]) -> Callable[[Path, Scale], None]:
    def make(folder: Path, scale: Scale) -> None:
        chance = random.Random(SEED)
        data = material.floats(chance, scale.checkpoint_bytes)
        for number in range(scale.checkpoints):
            if number:
                for change in changes:
                    change(data, chance)
            (folder / f"checkpoint-{number:03}.bin").write_bytes(data)

    return make


# -- (c) logs, (d) media -------------------------------------------------------------------------


def _make_logs(folder: Path, scale: Scale) -> None:
    for number in range(scale.log_files):
        left, pieces = scale.log_bytes, material.log_pieces(number)
        with (folder / f"server-{number:02}.log").open("wb") as file:
            while left > 0:
                left -= file.write(next(pieces)[:left])


def _make_media(folder: Path, scale: Scale) -> None:
    chance = random.Random(SEED)
    for number in range(scale.media_files):
        (folder / f"film-{number:03}.mp4").write_bytes(material.media(chance, scale.media_bytes))


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("tree-twice", "a source tree of this machine, twice", _make_tree),
        Dataset("checkpoints", "float arrays, each 1 % changed in spots of 4 KiB", _checkpoints(_change)),
        Dataset("checkpoints-inserted", "the same with bytes inserted", _checkpoints(_change, _insert)),
        Dataset("logs", "access logs and JSON logs", _make_logs),
        Dataset("media", "what is compressed already", _make_media, at_least=None),
    )
}


# -- looking at a folder -------------------------------------------------------------------------


@dataclass(frozen=True)
class Extent:
    """How much there is in a folder."""

    files: int
    size_bytes: int


def measure(folder: Path) -> Extent:
    """Files and their sizes; reads all of them, so that whoever is measured next finds them in memory."""
    files = size_bytes = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            files += 1
            if not path.is_symlink():
                with path.open("rb", buffering=0) as file:
                    while piece := file.read(MIB):
                        size_bytes += len(piece)
    return Extent(files, size_bytes)


def first_difference(one: Path, other: Path) -> str | None:
    """Relative path of a file that is not the same in both folders, byte for byte, or None."""
    names = [{path.relative_to(folder) for path in folder.rglob("*")} for folder in (one, other)]
    for name in sorted(names[0] ^ names[1]):
        return str(name)
    for name in sorted(names[0]):
        left, right = one / name, other / name
        if left.is_symlink() or right.is_symlink():
            same = left.is_symlink() and right.is_symlink() and left.readlink() == right.readlink()
        elif left.is_dir() or right.is_dir():
            same = left.is_dir() and right.is_dir()
        else:
            same = _same_bytes(left, right)
        if not same:
            return str(name)
    return None


def _same_bytes(one: Path, other: Path) -> bool:
    with one.open("rb", buffering=0) as left, other.open("rb", buffering=0) as right:
        while True:
            piece = left.read(MIB)
            if piece != right.read(MIB):
                return False
            if not piece:
                return True
