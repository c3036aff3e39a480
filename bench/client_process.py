"""The runner's end of a client: starts bench.client, speaks lines of JSON with it, ends it.

Promises that the process and what it started are gone when the block ends, and that silence has a limit.
It never interprets what a client measured.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CLIENT_SECONDS = 300.0


class ClientFailed(Exception):
    """A client ended or hung before it gave its figures; the text is its last line."""


class ClientProcess:
    """bench.client as a child process, spoken to in lines of JSON; gone when the block ends."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
            start_new_session=True,
            cwd=Path(__file__).parent.parent,
            text=True,
        )

    def __enter__(self) -> "ClientProcess":
        return self

    def tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ClientFailed(self._last_words()) from None

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], CLIENT_SECONDS)
        if not ready:
            raise ClientFailed(f"no answer in {CLIENT_SECONDS:.0f} s")
        text = self._process.stdout.readline()
        if not text:
            raise ClientFailed(self._last_words())
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        self._process.wait(CLIENT_SECONDS)
        lines = self._process.stderr.read().strip().splitlines()
        return lines[-1] if lines else f"the client ended with {self._process.returncode}"

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None and self._process.wait(CLIENT_SECONDS):
                raise ClientFailed(self._last_words())
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                assert stream is not None
                stream.close()
