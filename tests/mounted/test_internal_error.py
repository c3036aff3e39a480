"""An unexpected exception in a handler: EIO for that request, a traceback, and the mount lives on."""

import errno
import os
import sys

import pytest

from tests.mounted import failing_daemon
from tests.mounted.mounting import MountedStore

pytestmark = pytest.mark.mounted


def test_a_fault_in_a_handler_is_eio_and_the_mount_lives_on(mounted: MountedStore) -> None:
    os.symlink("target", mounted.path / "link")
    (mounted.path / "file").write_text("before")
    mounted.unmount()
    sound = mounted.command
    mounted.command = (sys.executable, "-m", failing_daemon.__name__)
    mounted.mount()
    for _ in range(2):
        with pytest.raises(OSError) as caught:
            os.readlink(mounted.path / "link")
        assert caught.value.errno == errno.EIO
    (mounted.path / "file").write_text("after")
    assert (mounted.path / "file").read_text() == "after"
    assert os.lstat(mounted.path / "link").st_size == 6
    mounted.unmount()

    said = mounted.log_text()
    assert "Traceback (most recent call last):" in said
    assert "RuntimeError: a fault made for a test" in said
    mounted.log.write_text("")  # that was expected; what follows has to be quiet
    mounted.command = sound
    mounted.mount()
    assert os.readlink(mounted.path / "link") == "target"
    assert (mounted.path / "file").read_text() == "after"
