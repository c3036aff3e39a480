"""The daemon's log, in a process of its own since it takes over stdout, stderr and the hooks."""

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mounted.namespace import apart

PREAMBLE = """
import logging, os, sys, threading
from pathlib import Path
from vfs import errors
from vfs.mount import logs
log = logging.getLogger("vfs")
store = Path(sys.argv[1])
"""


def run(code: str, store: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PREAMBLE + code, str(store)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def logged(store: Path, number: str = "") -> str:
    return (store / f"vfs.log{number}").read_text("utf-8")


def test_early_words_wait_for_the_file(tmp_path: Path) -> None:
    done = run(
        "d = logs.DaemonLog(to_file=True, debug=False)\n"
        "log.info('early'); log.debug('unwanted')\n"
        "d.open(store); log.info('late'); d.open(store)\n",
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    lines = logged(tmp_path).splitlines()
    assert [line.rsplit(" ", 2)[1:] for line in lines] == [["INFO", "early"], ["INFO", "late"]]
    assert stat.S_IMODE((tmp_path / "vfs.log").stat().st_mode) == 0o600


def test_a_line_that_waits_for_the_disk_is_a_call_that_is_seen(tmp_path: Path) -> None:
    done = run(
        "from vfs.backing.inflight import calls_under_way\n"
        "class Hanging(logs.StoreLogHandler):\n"
        "    def format(self, record): return calls_under_way()[0].what\n"
        "logs.StoreLogHandler = Hanging\n"
        "d = logs.DaemonLog(to_file=True, debug=False); d.open(store)\n"
        "log.info('a line'); assert calls_under_way() == []\n",
        tmp_path,
    )
    assert (done.returncode, logged(tmp_path)) == (0, "write of vfs.log\n")


def test_the_foreground_logs_to_stderr(tmp_path: Path) -> None:
    done = run(
        "d = logs.DaemonLog(to_file=False, debug=True)\nlog.debug('shown'); d.open(store)\n",
        tmp_path,
    )
    assert "DEBUG shown" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_tracebacks_and_whatever_is_printed_end_in_the_file(tmp_path: Path) -> None:
    done = run(
        "d = logs.DaemonLog(to_file=True, debug=False); d.open(store)\n"
        "os.write(2, b'from C code\\n')\n"
        "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()\n"
        "raise ExceptionGroup('several', [KeyError('inner')])\n",
        tmp_path,
    )
    assert done.stderr == ""
    content = logged(tmp_path)
    for words in ("from C code", "ZeroDivisionError", "ExceptionGroup: several", "KeyError: 'inner'"):
        assert words in content


def test_a_fatal_signal_leaves_a_traceback(tmp_path: Path) -> None:
    done = run(
        "d = logs.DaemonLog(to_file=True, debug=False); d.open(store)\nos.kill(os.getpid(), 11)\n", tmp_path
    )
    assert done.returncode == -11
    assert "Segmentation fault" in logged(tmp_path)


def test_it_rotates_and_stderr_follows(tmp_path: Path) -> None:
    run(
        "logs.LOG_BYTES = 2000\n"
        "d = logs.DaemonLog(to_file=True, debug=False); d.open(store)\n"
        "for number in range(200): log.info('line %d of many', number)\n"
        "os.write(2, b'the last word\\n')\n",
        tmp_path,
    )
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["vfs.log", "vfs.log.1", "vfs.log.2", "vfs.log.3", "vfs.log.4"]
    assert "the last word" in logged(tmp_path)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_in_its_place_is_refused(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    store, victim = tmp_path / "store", tmp_path / "victim"
    store.mkdir()
    victim.write_text("precious")
    link(victim, store / "vfs.log")
    done = run(
        "d = logs.DaemonLog(to_file=True, debug=False)\n"
        "try: d.open(store)\n"
        "except errors.StoreUnreadable as error: print(error)\n"
        "log.info('x')\n",
        store,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "vfs never made it" in done.stdout
    assert victim.read_text() == "precious"


def test_a_store_without_room_for_a_log(tmp_path: Path) -> None:
    missing = tmp_path / "gone"
    done = run("d = logs.DaemonLog(to_file=True, debug=False); d.open(store); log.info('x')\n", missing)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(tmp_path) == []


# The machine's own /dev is out of sight here; the one that stands for it is full when the log is open.
SYSTEM_LOG = """
import errno, socket, subprocess
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", "/dev"], check=True)
system = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
system.bind("/dev/log")
system.settimeout(60)
store = Path("/dev/a store")
store.mkdir()
daemon_log = logs.DaemonLog(to_file=True, debug=False)
daemon_log.open(store)
try:
    Path("/dev/filler").write_bytes(bytes(1 << 20))
except OSError as error:
    assert error.errno == errno.ENOSPC
log.info("nobody's business")
log.error("what went %s", "wrong")
Path(sys.argv[1], "heard").write_bytes(system.recv(1000))
system.close()
log.error("nobody listens")
for number in range(3000):
    log.error("and nothing is kept that nobody takes %d", number)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a /dev of its own")
def test_an_error_that_the_file_does_not_take_goes_to_the_system_log(tmp_path: Path) -> None:
    script = shlex.join(["exec", sys.executable, "-c", PREAMBLE + SYSTEM_LOG, str(tmp_path)])
    command = apart(tmp_path, script)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rb"<27>vfs\[\d+\]: /dev/a store: what went wrong", (tmp_path / "heard").read_bytes())
