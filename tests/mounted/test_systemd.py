"""As a service of systemd: the units are sound, and it is told when the mount answers and when it goes."""

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.beside import beside
from tests.cli.living import is_mounted
from tests.mounted.mounting import ROOT, VFS, copy_of_an_empty_store
from vfs.mount.notify import notify

UNITS = ROOT / "docs" / "systemd"
VFS_PROGRAM = Path(sys.executable).with_name("vfs")


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # what comes before tells no sender
        listening.bind(os.fspath(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


@pytest.mark.parametrize("kind", ["system", "user"])
def test_a_unit_is_what_systemd_understands(kind: str, tmp_path: Path) -> None:
    text = (UNITS / kind / "vfs@.service").read_text("utf-8")
    assert "/opt/vfs/.venv/bin/vfs mount --foreground" in text
    unit = tmp_path / "vfs@name.service"
    unit.write_text(text.replace("/opt/vfs/.venv/bin/vfs", os.fspath(VFS_PROGRAM)))
    parsed = configparser.RawConfigParser(strict=False)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read(unit)
    assert (parsed["Service"]["Type"], parsed["Service"]["Restart"]) == ("notify", "on-failure")
    if shutil.which("systemd-analyze") is None:
        return
    done = subprocess.run(
        ["systemd-analyze", "verify", *(["--user"] * (kind == "user")), unit],
        env={**os.environ, "XDG_RUNTIME_DIR": os.fspath(tmp_path), "HOME": os.fspath(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.mounted
@pytest.mark.parametrize("supervise", [False, True])
def test_systemd_is_told(supervise: bool, tmp_path: Path, ear: socket.socket) -> None:
    store, point = tmp_path / "store", tmp_path / "mnt"
    copy_of_an_empty_store(store)
    point.mkdir()
    command = [*VFS, "mount", "--foreground", *(["--supervise"] * supervise), str(store), str(point)]
    environment = {**os.environ, "NOTIFY_SOCKET": os.fspath(tmp_path / "notify")}
    with beside(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)) as service:
        said, (credentials,), _, _ = ear.recvmsg(4096, socket.CMSG_SPACE(12))
        assert said.startswith(b"READY=1\n")
        # NotifyAccess=main: only what the main process says counts.
        assert int.from_bytes(credentials[2][:4], sys.byteorder) == service.pid
        assert is_mounted(store)
        (point / "file").write_text("it answers")
        service.send_signal(signal.SIGTERM)
        while b"STOPPING=1" not in ear.recv(4096):
            pass
        service.communicate(timeout=60)
    assert service.returncode == 0
    assert not is_mounted(store)


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for address in (None, "", "nonsense", os.fspath(tmp_path / "nobody listens"), "@nobody-listens-to-vfs"):
        if address is None:
            monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        else:
            monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1")


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"vfs-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("STATUS=well")
        assert listening.recv(100) == b"STATUS=well"
