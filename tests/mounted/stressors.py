"""The file system stressors of stress-ng, with what they verify, one after the other on a mount that is
packed and snapshotted meanwhile; the store is sound afterwards. `make stressors SECONDS=n` runs each for so
long.

What each does is told in stress-ng(1). Left out are those that check something else than a file system.
"""

import os
from collections.abc import Iterator

import pytest

from tests.mounted.mounting import MountedStore, vfs
from tests.mounted.programs import start, wait_for
from tests.mounted.test_crowd import upkeep

SECONDS = int(os.environ.get("VFS_STRESSOR_SECONDS", "5"))

SNAPSHOTS = 3
"""While each of them runs."""

pytestmark = [pytest.mark.mounted, pytest.mark.timeout(600 + 10 * SECONDS)]

STRESSORS = (
    "access",
    "aio",
    "chattr",
    "chdir",
    "chmod",
    "chown",
    "copy-file",
    "dentry",
    "dir",
    "dirdeep",
    "dirmany",
    "dnotify",
    "dup",
    "fanotify",
    "fcntl",
    "fiemap",
    "file-ioctl",
    "filename",
    "flock",
    "fpunch",
    "fstat",
    "getdent",
    "handle",
    "hdd",
    "inotify",
    "io",
    "iomix",
    "lease",
    "link",
    "locka",
    "lockf",
    "lockofd",
    "mknod",
    "mmap",
    "mmapfork",
    "msync",
    "open",
    "readahead",
    "rename",
    "revio",
    "seek",
    "sendfile",
    "splice",
    "symlink",
    "sync-file",
    "touch",
    "utime",
    "xattr",
)


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedStore]:
    """One store for all of them, so that each meets what the ones before it left to be packed."""
    mounted = MountedStore(tmp_path_factory.mktemp("stressors"))
    mounted.hanging_seconds = 3600.0
    mounted.mount("cache_size=16M")
    yield mounted
    mounted.finish()


@pytest.mark.parametrize("name", STRESSORS)
def test_a_stressor(mounted: MountedStore, name: str) -> None:
    with upkeep(mounted, "flush", "gc") as done:
        program = start("stress-ng", f"--{name}", "2", "--verify", f"--timeout={SECONDS}", cwd=mounted.path)
        for number in range(SNAPSHOTS):
            vfs("snapshot", "create", mounted.path, f"{name}-{number}")
        wait_for(program)
    for number in range(SNAPSHOTS):
        vfs("snapshot", "delete", mounted.path, f"{name}-{number}")
    assert done["flush"]
    mounted.fsck()
    assert not [*mounted.path.iterdir()]
