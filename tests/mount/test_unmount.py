"""Unmounting from outside: whatever a daemon answers, and whatever goes wrong, the caller comes back."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from vfs.errors import MountError
from vfs.mount import unmount
from vfs.mount.client import ControlClient
from vfs.mount.mountinfo import Mount
from vfs.mount.process_end import ProcessEnd
from vfs.mount.unmount import NotClosed, Outcome


class Answer:
    """A daemon that has answered."""

    def __init__(self, **result: Any) -> None:
        self._result = result

    def result(self, on_progress: object) -> dict[str, Any]:
        return self._result


def closed(**result: Any) -> None:
    unmount._closed(cast("ControlClient", Answer(**result)), None)


def test_an_end_is_told_as_the_daemon_tells_it() -> None:
    closed(error=None)
    closed(clean=True)  # a daemon that runs since an older version
    with pytest.raises(NotClosed, match="the disk"):
        closed(error="the disk is gone")


def test_a_daemon_that_breaks_off_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever mounts again next finds its lock free."""
    ours, theirs = socket.socketpair()
    code = (
        "import os, socket, sys, time; door = socket.socket(fileno=0); door.recv(100)\n"
        "door.send(b'{\"progress\": {}}\\n'); door.close(); time.sleep(0.5)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=theirs.fileno()) as daemon, ours:
        theirs.close()
        client = ControlClient(tmp_path, ours)
        client.pid = daemon.pid
        heard = [client]  # whoever asks it anything later finds nobody
        monkeypatch.setattr(unmount, "detach", lambda point: None)
        monkeypatch.setattr(ControlClient, "connect", lambda store: heard.pop() if heard else None)
        mount = Mount(1, 0, "0:1", "/", tmp_path, "fuse.vfs", str(tmp_path))
        with pytest.raises(MountError, match="ended without closing it"):
            unmount._unmount_and_wait(mount, [mount], None)
        assert daemon.poll() == 0


def test_a_daemon_that_ends_without_having_heard_us_has_ended_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Somebody else has unmounted, and it closes its socket with us still in the line before it."""
    ours, theirs = socket.socketpair()
    theirs.close()
    client = ControlClient(tmp_path, ours)
    monkeypatch.setattr(ControlClient, "connect", lambda store: client)
    monkeypatch.setattr(unmount, "read_mounts", list)
    monkeypatch.setattr(unmount, "detach", lambda point, lazy: None)
    mount = Mount(1, 0, "0:1", "/", tmp_path, "fuse.vfs", str(tmp_path))
    assert unmount._unmount_and_wait(mount, [mount], None) == Outcome.CLOSED


def test_what_nobody_expected_is_raised_and_not_waited_for() -> None:
    def fail() -> None:
        raise KeyError("a fault of ours")

    with pytest.raises(KeyError):
        unmount._begin(fail).result(timeout=60)


def test_the_end_of_a_process_is_waited_for_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with ProcessEnd(program.pid) as end:
            assert end.is_known
            assert not end.wait(0.01)
            assert program.stdin is not None
            program.stdin.close()
            assert end.wait(60)
        with monkeypatch.context() as old:
            old.delattr(os, "pidfd_open")  # a Python that was built with old headers
            with ProcessEnd(program.pid) as end:
                assert end.wait(0.01)
    finally:
        program.kill()
        program.wait()
    with ProcessEnd(None) as end:
        assert not end.is_known
        assert end.wait(0.01)
