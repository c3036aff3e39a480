"""Our stdin and stdout as named pipes, for a daemon that cannot have them.

Promises that the pipe lies where only our user can find it, and is gone afterwards. Never waits for a daemon
that does not open it.
"""

import os
import select
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vfs.errors import StoreError

PIECE_BYTES = 1 << 20
LOOK_SECONDS = 0.02


def refuse_terminal(stream: int, what: str) -> None:
    """An archive neither comes from a keyboard nor goes to a screen."""
    if os.isatty(stream):
        raise StoreError(f"{what} is a terminal; redirect it, or name a file")


@contextmanager
def pipe_from_stdin() -> Iterator[Path]:
    """A named pipe that gives what stdin gives."""
    with _pipe(_PumpIn) as path:
        yield path


@contextmanager
def pipe_to_stdout() -> Iterator[Path]:
    """A named pipe that goes to stdout; all of it is there when this ends."""
    with _pipe(_PumpOut) as path:
        yield path


@contextmanager
def _pipe(pump: "type[_Pump]") -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vfs-") as folder:
        path = Path(folder) / "archive.tar"
        os.mkfifo(path, 0o600)
        thread = pump(path)
        thread.start()
        try:
            yield path
        finally:
            thread.end()


class _Pump(threading.Thread):
    """Moves bytes until there are no more, or until it is told to end while nobody has come."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="vfs-pump", daemon=True)
        self._path = path
        self._ended = threading.Event()

    def end(self) -> None:
        """The daemon has answered: what it wrote is in the pipe."""
        self._ended.set()


class _PumpIn(_Pump):
    def run(self) -> None:
        pipe = self._opened()
        if pipe is None:
            return
        try:
            with suppress(BrokenPipeError):  # an archive may end before its file does
                while data := os.read(sys.stdin.fileno(), PIECE_BYTES):
                    while data:
                        data = data[os.write(pipe, data) :]
        finally:
            os.close(pipe)

    def _opened(self) -> int | None:
        while not self._ended.wait(LOOK_SECONDS):
            with suppress(OSError):  # ENXIO: nobody reads yet
                pipe = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.set_blocking(pipe, True)
                return pipe
        return None


class _PumpOut(_Pump):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # before the daemon looks

    def run(self) -> None:
        waiting = select.poll()
        waiting.register(self._pipe, select.POLLIN)
        try:
            while True:
                ended = self._ended.is_set()  # before the look: what the daemon wrote is there by then
                if not waiting.poll(LOOK_SECONDS * 1000):
                    if ended:
                        return
                    continue
                data = os.read(self._pipe, PIECE_BYTES)
                if not data:
                    return
                while data:
                    data = data[os.write(sys.stdout.fileno(), data) :]
        except BrokenPipeError:
            return  # the daemon hears of it as we close
        finally:
            os.close(self._pipe)

    def end(self) -> None:
        super().end()
        self.join()
