"""Hostile stores on the real mount: walked and read by ordinary programs, to data or an error.

VFS_HOSTILE_MOUNTS=1 mounts every crafted store that lets itself be mounted, not only those that the kernel
has most to do with.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.crafting import ALL, Hostile, Workshop, good_store, layered_store
from tests.hostile.test_crafted import sentinels
from tests.mounted.mounting import ROOT, VFS, is_mounted

pytestmark = pytest.mark.mounted

CHOSEN = {
    "index_circle_of_folders",
    "index_folders_with_two_names_each",
    "index_name_4",
    "index_entry_of_nobody",
    "pack_bomb_as_it_says",
    "tree_clones_in_each_other",
    "tree_leads_to_the_snapshots",
}
MOUNTED = [each for each in ALL if each.name in CHOSEN or os.environ.get("VFS_HOSTILE_MOUNTS")]

LOOK = """
import os, sys
refused = seen = 0
def failed(error):
    global refused
    refused += 1
for folder, folders, files in os.walk(sys.argv[1], onerror=failed):
    for name in folders + files:
        seen += 1
        assert seen < 1000, "a walk without end"
        path = os.path.join(folder, name)
        try:
            os.lstat(path)
            for key in os.listxattr(path, follow_symlinks=False):
                os.getxattr(path, key, follow_symlinks=False)
            if os.path.islink(path):
                os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    file.read(1 << 20)
                    file.seek(max(0, os.fstat(file.fileno()).st_size - 10))
                    file.read(10)
        except OSError:
            refused += 1
print(seen, refused)
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("good") / "store"
    good_store(store)
    layered_store(store, store.with_name("layered"))
    return store


@pytest.mark.parametrize("each", MOUNTED, ids=lambda each: each.name)
def test_the_mount_of_a_hostile_store(good: Path, tmp_path: Path, each: Hostile) -> None:
    shop = Workshop(good.with_name("layered") if each.layered else good, tmp_path / "shop")
    each.craft(shop)
    before = sentinels(shop.outside)
    point = tmp_path / "mnt"
    point.mkdir()
    mount = subprocess.run(
        [*VFS, "mount", str(shop.store), str(point), *(["-o", "snapdir=visible"] if each.layered else [])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    try:
        if mount.returncode:
            assert len(mount.stderr.splitlines()) == 1, mount.stderr
            assert "unexpected" not in mount.stderr
            return
        looked = subprocess.run(
            [sys.executable, "-c", LOOK, str(point)], capture_output=True, text=True, timeout=60, check=False
        )
        assert looked.returncode == 0, looked.stderr
        seen, refused = map(int, looked.stdout.split())
        assert seen or refused
        assert os.statvfs(point).f_namemax == 255  # the daemon lives
    finally:
        if is_mounted(point):
            subprocess.run([*VFS, "umount", str(point)], cwd=ROOT, timeout=60, check=True)
    said = (shop.store / "vfs.log").read_text("utf-8", "replace")
    assert "Traceback" not in said, said[-3000:]
    assert "unexpected" not in said
    assert sentinels(shop.outside) == before
