"""Fixtures of the tests on the real mount. After each test the store must be sound and the log quiet."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mounted import late_daemon
from tests.mounted.mounting import HANGING_SECONDS, MountedStore

Mounter = Callable[..., MountedStore]


@pytest.fixture
def mount_store(tmp_path: Path) -> Iterator[Mounter]:
    """Makes mounted stores, with the mount options that it is given."""
    stores: list[MountedStore] = []

    def make(*options: str, hanging_seconds: float = HANGING_SECONDS) -> MountedStore:
        store = MountedStore(tmp_path / f"{len(stores)}")
        store.hanging_seconds = hanging_seconds
        stores.append(store)
        store.mount(*options)
        return store

    yield make
    failures = [failure for store in stores if (failure := _finish(store)) is not None]
    if failures:
        raise failures[0]


def _finish(store: MountedStore) -> BaseException | None:
    try:
        store.finish()
    except BaseException as failure:
        return failure
    return None


@pytest.fixture
def mounted(mount_store: Mounter) -> MountedStore:
    """A new store, mounted without options."""
    return mount_store()


@pytest.fixture
def late(mounted: MountedStore) -> MountedStore:
    """A new store whose daemon is slow to take what the kernel hands over."""
    mounted.unmount()
    mounted.command = (sys.executable, "-m", late_daemon.__name__)
    mounted.mount()
    return mounted


@pytest.fixture
def shared(mount_store: Mounter) -> MountedStore:
    """A new store that every user may use."""
    return mount_store("allow_other")
