"""The sentinel of a rollback: it ends the connection when it is to, and keeps nobody else waiting."""

import os

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import MountedStore
from vfs.mount.mountinfo import mounts_of, read_mounts
from vfs.mount.sentinel import Sentinel

pytestmark = [
    pytest.mark.mounted,
    pytest.mark.skipif(os.geteuid() != 0, reason="others have one where fusectl is mounted"),
]


def sentinel_of(mounted: MountedStore) -> Sentinel:
    (mount,) = mounts_of(mounted.store, read_mounts())
    return Sentinel.start(mount.device)


def test_nothing_that_is_unmounted_meanwhile_waits_for_it(mount_store: Mounter) -> None:
    mounted = mount_store()
    with sentinel_of(mounted) as watches:
        assert watches
        mounted.unmount()


def test_told_of_the_daemons_death_it_ends_the_connection(mount_store: Mounter) -> None:
    mounted = mount_store()
    with sentinel_of(mounted) as watches:
        assert watches
    os.statvfs(mounted.path)  # dismissed it has done nothing
    sentinel = sentinel_of(mounted)
    with sentinel as watches:
        assert watches
        assert sentinel._process is not None
        sentinel._process.terminate()
    assert mounted.ended() == 0
