"""A PostgreSQL cluster whose data lies in a folder: made, started, crashed, checked, by an ordinary user.

Promises that no server outlives the test: it ends by its own pid, and those that it started with it. Needs
root, since PostgreSQL refuses to run as root and the tests do; the folders must be reachable for everybody.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.mounted.programs import CLEAN_ENVIRONMENT, NOBODY

START_SECONDS = 60.0
STOP_SECONDS = 60.0

SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "8MB",  # small, so that pages go out and come back all the time
    "max_connections": "20",
    "min_wal_size": "32MB",
    "max_wal_size": "48MB",  # and checkpoints come often
    "checkpoint_timeout": "30s",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
}


def binaries() -> Path | None:
    """Where Debian has the programs of the newest PostgreSQL that is installed; None without one."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/pg_amcheck")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


needs_postgresql = pytest.mark.skipif(binaries() is None, reason="PostgreSQL's server is not installed")


class Cluster:
    """`data` is on the mount; the sockets and the server's own words are in `folder`, which is not."""

    def __init__(self, data: Path, folder: Path) -> None:
        self._data = data
        self._folder = folder
        self._said = folder / "postgresql.log"
        self._server: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        os.chown(folder, NOBODY, NOBODY)

    # --- programs ------------------------------------------------------------------------------

    def command(self, program: str, *arguments: str) -> list[str]:
        """A command of PostgreSQL's own."""
        folder = binaries()
        assert folder is not None
        return [str(folder / program), *arguments]

    def client(self, program: str, *arguments: str) -> list[str]:
        """A command that connects to the server."""
        return self.command(program, "--host", str(self._folder), "--username", "owner", *arguments)

    def start_program(self, command: list[str], output: Path | None = None) -> subprocess.Popen[str]:
        """Start a command as the unprivileged user, printing to a file or a pipe."""
        with open(output or os.devnull, "ab") as file:
            return subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=file if output else subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=CLEAN_ENVIRONMENT,
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
            )

    def run(self, command: list[str]) -> str:
        """Run a command as the unprivileged user; AssertionError with all it said when it fails."""
        process = self.start_program(command)
        said, _ = process.communicate(timeout=100)
        assert process.returncode == 0, f"{command}: exit code {process.returncode}\n{said[-3000:]}"
        return said

    def query(self, sql: str, database: str = "postgres") -> str:
        """The answer of one statement, unaligned."""
        return self.run(self.client("psql", "-XqAt", "-d", database, "-c", sql)).strip()

    # --- life ----------------------------------------------------------------------------------

    def create(self) -> None:
        """initdb, with checksums on every page, synced to the disk."""
        self._data.mkdir(mode=0o700)
        os.chown(self._data, NOBODY, NOBODY)
        options = ("--data-checksums", "--username=owner", "--auth=trust", "--no-locale", "--encoding=UTF8")
        self.run(self.command("initdb", "--pgdata", str(self._data), *options))

    def start(self) -> None:
        """Start the server and return when it answers; it recovers by itself where it must."""
        given = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = self.command("postgres", "-D", str(self._data), "-k", str(self._folder), *given)
        with open(self._said, "ab") as said:
            self._server = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=CLEAN_ENVIRONMENT,
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
            )
        end = time.monotonic() + START_SECONDS
        ready = self.client("pg_isready", "--quiet", "--dbname", "postgres")
        while subprocess.run(ready, check=False, env=CLEAN_ENVIRONMENT).returncode != 0:
            assert self._server.poll() is None, f"the server ended:\n{self._last_words()}"
            assert time.monotonic() < end, f"the server does not answer:\n{self._last_words()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """A fast shutdown, which is a clean one."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        assert self._server.wait(timeout=STOP_SECONDS) == 0, self._last_words()
        self._server = None

    def crash(self) -> None:
        """End the server and all its processes at once, whatever state they are in. Idempotent."""
        if self._server is None:
            return
        descriptors = dict(_children(self._server.pid))
        self._server.send_signal(signal.SIGQUIT)
        try:
            self._server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None
        for descriptor in descriptors.values():  # of the processes themselves: a pid may be used again
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            # The next server refuses to start while one of them has the old one's shared memory.
            ended, _, _ = select.select([descriptor], [], [], STOP_SECONDS)
            os.close(descriptor)
            assert ended, "a process of the server does not end"

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server for a while; stopped cleanly at the end unless something went wrong before."""
        self.start()
        try:
            yield
            if self._server is not None:
                self.stop()
        finally:
            self.crash()

    def _last_words(self) -> str:
        return self._said.read_text("utf-8", "replace")[-3000:]

    # --- checks --------------------------------------------------------------------------------

    def check_structure(self, database: str) -> None:
        """Every heap and index is sound, and each row of a table stands in its indexes."""
        options = ("--install-missing", "--heapallindexed", "--parent-check", "--rootdescend")
        self.run(self.client("pg_amcheck", *options, "--no-strict-names", "--database", database))

    def check_pages(self) -> None:
        """Every page matches its checksum. The server must have been stopped cleanly."""
        self.run(self.command("pg_checksums", "--check", "--pgdata", str(self._data)))


def _children(pid: int) -> Iterator[tuple[int, int]]:
    """The processes that one has started, each with a descriptor of it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split() if children.exists() else ():  # it may have ended by itself
        with suppress(ProcessLookupError):
            yield int(child), os.pidfd_open(int(child))
