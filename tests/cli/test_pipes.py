"""Our stdin and stdout as named pipes: all of it goes through, whoever is kept from going on."""

import select
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from vfs.cli import pipes


class LateLook:
    """A poll that comes back late when there is nothing: when the daemon has written all and answered."""

    def __init__(self, looked: threading.Event) -> None:
        self._poll = select.poll()
        self._looked = looked
        self.register = self._poll.register

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        found = self._poll.poll(milliseconds)
        if not found:
            self._looked.set()
            pump = threading.current_thread()
            assert isinstance(pump, pipes._Pump)
            assert pump._ended.wait(60)
        return found


def test_what_comes_between_a_look_and_the_end_goes_to_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()
    late = SimpleNamespace(POLLIN=select.POLLIN, poll=lambda: LateLook(looked))
    monkeypatch.setattr(pipes, "select", late)
    with open(tmp_path / "stdout", "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pipes.pipe_to_stdout() as path:
            assert looked.wait(60)
            path.write_bytes(b"an archive")  # as the daemon does
    assert (tmp_path / "stdout").read_bytes() == b"an archive"


def test_a_daemon_that_never_opens_it_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "stdout", "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pipes.pipe_to_stdout() as path:
            pass
    assert not path.exists()
    assert (tmp_path / "stdout").read_bytes() == b""
