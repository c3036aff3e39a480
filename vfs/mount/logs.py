"""Where the daemon's words go: STORE/vfs.log in the background, stderr in the foreground.

Promises that nothing is lost on the way: what is said before the log can be opened waits in memory, and
uncaught exceptions, fatal signals and whatever libraries print to stderr end up in it too. The file is for
its owner alone and rotates. An error that cannot be written there, since the disk is what it is about, goes
to the system's log. Never makes the daemon fail because a line could not be written; where the disk hangs, a
line that waits is a call to the disk that is seen as any other.
"""

import errno
import faulthandler
import io
import logging
import os
import signal
import socket
import stat
import sys
import threading
from contextlib import suppress
from logging.handlers import MemoryHandler, RotatingFileHandler
from pathlib import Path
from types import TracebackType

from vfs.backing.inflight import disk_call
from vfs.errors import StoreUnreadable

LOG_NAME = "vfs.log"
LOG_BYTES = 1024 * 1024
OLD_LOGS = 4
KEPT_LINES = 10_000
FORMAT = "%(asctime)s %(process)d %(levelname)s %(message)s"

SYSTEM_LOG = "/dev/log"
SYSTEM_ERROR = 3 << 3 | 3
"""Facility and severity as in RFC 3164: an error of a daemon."""

TOLD_LIMIT = 1000

log = logging.getLogger("vfs")

_told: set[str] = set()


class NobodyWaits(logging.Filter):
    """Leaves out what pyfuse3 says when an answer finds nobody who waits for it (ENOENT).

    The kernel has taken the mount away, and with it ended the requests on their way (fuse_abort_conn): an
    ordinary end of a mount, like ENODEV for the next request.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not (
            isinstance(record.msg, str)
            and "fuse_reply" in record.msg
            and record.args == (os.strerror(errno.ENOENT),)
        )


def tell_once(text: str) -> None:
    """An error that comes again with each request, or from several places: one line in the daemon's life."""
    if text not in _told and len(_told) < TOLD_LIMIT:
        _told.add(text)
        log.error("%s", text)


class NotOurs(Exception):
    """What has the log's name is not a file that we could have made."""


def _refuse_stranger(path: str) -> None:
    """NotOurs for anything but a file of this one name: what is written there would be written elsewhere."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise NotOurs("is not a regular file")
    if found.st_nlink > 1:
        raise NotOurs("has a second name (a hard link)")


class StoreLogHandler(RotatingFileHandler):
    """The log file of a store. Standard output and error follow it through every rotation."""

    def __init__(self, store: Path) -> None:
        super().__init__(
            store / LOG_NAME,
            maxBytes=LOG_BYTES,
            backupCount=OLD_LOGS,
            encoding="utf-8",
            errors="backslashreplace",
        )

    def _open(self) -> io.TextIOWrapper:
        _refuse_stranger(self.baseFilename)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self.baseFilename, flags, 0o600)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        with disk_call("write of", LOG_NAME):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        if record.levelno >= logging.ERROR:
            _tell_system(f"{Path(self.baseFilename).parent}: {record.getMessage()}")


def _tell_system(text: str) -> None:
    """A line for the system's log; nothing where there is none, or where it does not take it at once."""
    line = f"<{SYSTEM_ERROR}>vfs[{os.getpid()}]: {text}".encode("utf-8", "backslashreplace")
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system:
        system.setblocking(False)
        system.connect(SYSTEM_LOG)
        system.send(line)


class RestartLog(logging.Handler):
    """Adds lines to the log file of a store that a daemon writes at the same time, through its rotations."""

    def __init__(self, store: Path) -> None:
        super().__init__()
        self._path = store / LOG_NAME
        _formatted(self)

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with suppress(OSError):  # a store on a full or read-only disk is no reason to end
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)


def log_restarts(store: Path, *, foreground: bool) -> None:
    """Have what the supervisor says of a mount written to its store, and to stderr in the foreground."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(RestartLog(store))
    if foreground:
        root.addHandler(_formatted(logging.StreamHandler(sys.stderr)))


class DaemonLog:
    """The daemon's log during its life. `to_file`: in the background; otherwise stderr, from the start."""

    def __init__(self, *, to_file: bool, debug: bool) -> None:
        self._to_file = to_file
        self._early = MemoryHandler(KEPT_LINES, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
        logging.raiseExceptions = False  # a full disk under the log is no reason for a second error
        logging.captureWarnings(capture=True)
        root = logging.getLogger()
        root.setLevel(logging.DEBUG if debug else logging.INFO)
        # pyfuse3 logs each request at this level; that is its own affair and would drown ours.
        pyfuse3 = logging.getLogger("pyfuse3")
        pyfuse3.setLevel(logging.INFO)
        pyfuse3.addFilter(NobodyWaits())
        if to_file:
            root.addHandler(self._early)
        else:
            root.addHandler(_formatted(logging.StreamHandler(sys.stderr)))
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_in_thread
        faulthandler.enable(sys.stderr)
        faulthandler.register(signal.SIGUSR1, sys.stderr)  # where does it hang?

    def open(self, store: Path) -> None:
        """The store is known and ours: write there what waits, and all that follows. Idempotent.

        StoreUnreadable when something stands in the log's place that is no log of ours."""
        if not self._to_file:
            return
        self._to_file = False
        root = logging.getLogger()
        root.removeHandler(self._early)
        try:
            handler: logging.Handler = _formatted(StoreLogHandler(store))
        except NotOurs as error:
            raise StoreUnreadable(store, f"{LOG_NAME} {error}; remove it, vfs never made it") from None
        except OSError:
            handler = logging.NullHandler()  # a store on a read-only disk has no place for a log
            quiet = os.open(os.devnull, os.O_WRONLY)
            for standard in (1, 2):
                os.dup2(quiet, standard)
            os.close(quiet)
        root.addHandler(handler)
        self._early.setTarget(handler)
        self._early.flush()
        self._early.close()


def _formatted(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(logging.Formatter(FORMAT))
    return handler


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("uncaught exception", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        name = arguments.thread.name if arguments.thread else "a thread"
        log.critical("uncaught exception in %s", name, exc_info=arguments.exc_value)
