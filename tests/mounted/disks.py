"""Disks of a test's own, to hold a store: real file systems on loop devices that fill up, fail and get well.

Promises that no mount, loop device or process stays behind, whatever the test did. Needs root. Never touches
a device that it did not make.
"""

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.mounted.failing_device import FAULTS, Faults
from tests.mounted.mounting import ROOT, is_mounted

MIB = 1 << 20

SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32), the same as XFS_IOC_GOINGDOWN."""

WITHOUT_LOG = 2
"""The journal is not written out first."""

CORRECTED = (0, 1)
"""Exit codes of fsck(8) for a file system that is sound now."""

READY_SECONDS = 60.0


class LoopDisk:
    """A file system on a loop device, mounted at `path` while the `with` statement lasts."""

    ext4_options: tuple[str, ...] = ("errors=remount-ro",)
    """The default on most installations, and what makes it read-only when it finds a fault."""

    def __init__(self, folder: Path, size_mib: int, *, kind: str = "ext4") -> None:
        self.path = folder / "disk"
        self._folder = folder
        self._kind = kind
        self._backing = folder / "backing"
        self._device: Path | None = None
        self.path.mkdir()
        with open(self._backing, "wb") as file:
            file.truncate(size_mib * MIB)

    def __enter__(self) -> Self:
        self._attach(self._backing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._detach()

    @property
    def device(self) -> Path:
        """The loop device."""
        assert self._device is not None, "not attached"
        return self._device

    def _attach(self, file: Path) -> None:
        made = _run("losetup", "--find", "--show", str(file))
        self._device = Path(made.strip())
        try:
            options = ("-q", "-m", "0", "-E", "lazy_itable_init=0") if self._kind == "ext4" else ("-q",)
            _run(f"mkfs.{self._kind}", *options, str(self._device))
            self._mount()
        except BaseException:
            self._detach()
            raise

    def _mount(self) -> None:
        options = ("-o", ",".join(self.ext4_options)) if self._kind == "ext4" else ()
        _run("mount", "-t", self._kind, *options, str(self.device), str(self.path))

    def _detach(self) -> None:
        if is_mounted(self.path):
            subprocess.run(["umount", str(self.path)], check=False)
        if is_mounted(self.path):  # somebody still uses it: the test has failed already
            subprocess.run(["umount", "--lazy", str(self.path)], check=False)
        if self._device is not None:
            subprocess.run(["losetup", "--detach", str(self._device)], check=False)
            self._device = None

    def remounted_read_only(self) -> None:
        """What ext4 does when it finds a fault in itself: read-only at once, under whoever has it in use."""
        Path(f"/sys/fs/ext4/{self.device.name}/trigger_fs_error").write_text("a fault")

    def shut_down(self) -> None:
        """Every call answers EIO from now on, as when a disk is pulled out."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, WITHOUT_LOG.to_bytes(4, sys.byteorder))
        finally:
            os.close(descriptor)

    def heal(self) -> None:
        """Unmount, have the file system checked and mended as at a boot, and mount it again."""
        _run("umount", str(self.path))
        self._wait_until_free()
        if self._kind == "ext4":
            done = subprocess.run(
                ["e2fsck", "-p", "-f", str(self.device)], capture_output=True, text=True, check=False
            )
            assert done.returncode in CORRECTED, f"{done.returncode}: {done.stdout}{done.stderr}"
        self._mount()

    def _wait_until_free(self) -> None:
        """A process with a mount namespace of its own, of a test beside this, may have it for a moment."""
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                os.close(os.open(self.device, os.O_RDONLY | os.O_EXCL))  # of a device: nobody has it mounted
                return
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > end:
                    raise
            time.sleep(0.01)


class FailingDisk(LoopDisk):
    """A file system on a device whose reads, writes and syncs fail as soon as it is told so.

    The first to meet that is who uses the disk: ext4 itself writes nothing for five minutes, where it would
    turn read-only within some seconds.
    """

    ext4_options = (*LoopDisk.ext4_options, "commit=300")

    def __init__(self, folder: Path, size_mib: int, *, kind: str = "ext4") -> None:
        super().__init__(folder, size_mib, kind=kind)
        self._point = folder / "served"
        self._served = self._point / "disk"
        self._server: subprocess.Popen[bytes] | None = None
        self._point.mkdir()

    def __enter__(self) -> Self:
        program = str(Path(__file__).with_name("failing_device.py"))
        command = [sys.executable, program, str(self._point), str(self._backing)]
        self._server = subprocess.Popen(command, cwd=ROOT)
        try:
            end = time.monotonic() + READY_SECONDS
            while not is_mounted(self._point):
                assert self._server.poll() is None, "the device's server ended"
                assert time.monotonic() < end, "the device's server does not start"
                time.sleep(0.01)
            self._attach(self._served)
        except BaseException:
            self._stop_server()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.fail(Faults())
            self._detach()
        finally:
            self._stop_server()

    def _stop_server(self) -> None:
        assert self._server is not None
        if is_mounted(self._point):
            subprocess.run(["umount", "--lazy", str(self._point)], check=False)
        try:
            self._server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def fail(self, faults: Faults) -> None:
        """From now on this fails, and nothing else. What the kernel would write by itself one day, of earlier
        changes, is on the device."""
        if faults.writes or faults.syncs:
            _run("sync", "-f", str(self.path))
        os.setxattr(self._served, FAULTS, msgspec.json.encode(faults))

    def heal(self) -> None:
        """As `LoopDisk.heal`, with a device that works again."""
        self.fail(Faults())
        super().heal()

    def places_of(self, file: Path) -> tuple[tuple[int, int], ...]:
        """Where the bytes of a file lie on the device: (start, stop) of each piece."""
        listed = _run("filefrag", "-s", "-b4096", "-v", str(file))
        found = []
        for line in listed.splitlines():
            fields = line.replace(":", " ").replace("..", " ").split()
            if fields and fields[0].isdigit():
                first, last = int(fields[3]), int(fields[4])
                found.append((first * 4096, (last + 1) * 4096))
        assert found, listed
        return tuple(found)


def forget_pages(file: Path) -> None:
    """Have the host forget what it has cached of a file that nobody has mapped: a read asks the device."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
