"""A store in two packs and a log, to be damaged and mended."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs
from tests.repair.mending import CONTENTS, KIB
from vfs.backing.creation import CreationOptions
from vfs.backing.storage import DirectoryStorage


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two packs with blocks of both kinds, several pieces in those that are stored as they are, and a log."""
    path = tmp_path_factory.mktemp("made") / "store"
    vfs.mkfs(path, CreationOptions(block_bytes=256 * KIB, blob_bytes=64 * KIB))
    with vfs.open(path, pack_workers=0) as fs:
        fs.autopilot = False
        for group in (("/noise", "/text", "/copy", "/small"), ("/second",)):
            for name in group:
                fs.write_bytes(name, CONTENTS[name])
            fs.flush()
        for name in ("/raw", "/tiny"):
            fs.write_bytes(name, CONTENTS[name])
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


@pytest.fixture
def storage(store: Path) -> Iterator[DirectoryStorage]:
    storage = DirectoryStorage(store)
    yield storage
    storage.close()
