"""Programs that are interrupted or killed while the daemon works for them: nobody else notices."""

import os
import random
import signal
import sys
import time

import pytest

from tests.mounted import slow_daemon
from tests.mounted.mounting import MountedStore
from tests.mounted.programs import start_python

pytestmark = pytest.mark.mounted

CLIENT = """
import mmap, os, sys
descriptor = os.open("file", os.O_RDWR | os.O_DIRECT)
buffer = mmap.mmap(-1, 4096)
print("ready", flush=True)
while True:
    os.fsync(descriptor)
    os.preadv(descriptor, [buffer], 0)
    os.pwritev(descriptor, [buffer], 0)
"""


def test_clients_killed_amid_a_request(mounted: MountedStore) -> None:
    content = os.urandom(4096)
    (mounted.path / "file").write_bytes(content)
    mounted.unmount()
    mounted.command = (sys.executable, "-m", slow_daemon.__name__)
    mounted.mount()
    chance = random.Random(15)
    clients = [start_python(CLIENT, cwd=mounted.path) for _ in range(6)]
    for client in clients:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
    for client in clients:
        time.sleep(chance.uniform(0.05, 0.15))
        client.send_signal(chance.choice((signal.SIGKILL, signal.SIGTERM)))
        client.communicate(timeout=60)
        assert client.returncode < 0
        (mounted.path / "other").write_text("somebody else goes on working")
    assert (mounted.path / "file").read_bytes() == content
