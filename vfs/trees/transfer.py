"""Where trees come from and go to, by the words of whoever asks: a folder, an archive, or a stream.

Promises to refuse what lies in the store or in its own mount, without looking at the latter. The paths must
be resolved already.
"""

import errno
import io
import os
import select
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from vfs.errors import StoreError
from vfs.filesystem import FileSystem
from vfs.limits import MIB
from vfs.paths import StrPath
from vfs.trees.ahead import LOOK_SECONDS
from vfs.trees.exporter import Target, export_to
from vfs.trees.folder_source import FolderSource
from vfs.trees.folder_target import FolderTarget
from vfs.trees.importer import import_from
from vfs.trees.report import OnProgress, Report, Source
from vfs.trees.tar_source import TarSource, open_tar
from vfs.trees.tar_target import OTHER_ENDINGS, TarTarget, compression_of

PIPE_SECONDS = 10


def open_source(path: Path, own: Collection[Path]) -> Source:
    """The folder or archive at a resolved path. `own`: the store and its mounts, which are not read."""
    refuse_own(path, own)
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            return FolderSource(path, own)
        if stat.S_ISREG(kind):
            return open_tar(path)
        if stat.S_ISFIFO(kind):
            return TarSource(cast(IO[bytes], PipeReader(path)), "the archive")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    raise StoreError(f"{path} is neither a folder nor a tar archive")


def open_target(path: Path, own: Collection[Path], report: Report) -> Target:
    """An archive, when the name at a resolved path says so and no folder has it; else a folder."""
    refuse_own(path, own)
    if path.is_fifo():
        pipe = PipeWriter(path)
        return TarTarget(io.BufferedWriter(pipe, MIB), report, owned=True, stop=pipe.stop)
    if compression_of(path) is not None and not path.is_dir():
        return TarTarget.create(path, report)
    if path.name.lower().endswith(OTHER_ENDINGS) and not path.is_dir():
        raise StoreError(
            f"{path}: no such archive is written here; name it .tar, .tar.gz, .tar.xz or .tar.zst, "
            "or make that folder first"
        )
    return FolderTarget(path, report)


class PipeReader(io.RawIOBase):
    """A named pipe to read from. Waits for its writer a while when first read, not when it is opened."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._begun = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for some bytes; 0 at the end."""
        if not self._begun:
            waiting = select.poll()
            waiting.register(self._descriptor, select.POLLIN)
            if not waiting.poll(PIPE_SECONDS * 1000):
                raise StoreError(f"nobody writes to the pipe {self._path}")
            os.set_blocking(self._descriptor, True)
            self._begun = True
        return os.readv(self._descriptor, [buffer])

    def close(self) -> None:
        """Let go."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class PipeWriter(io.RawIOBase):
    """A named pipe to write to. Waits for its reader, as long as it is not told to stop."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"nobody reads from the pipe {path} ({error.strerror})") from error
        self._stopped = False

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Write some of it."""
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLOUT)
        while True:
            with suppress(BlockingIOError):
                return os.write(self._descriptor, data)
            if self._stopped:
                raise OSError(errno.ECANCELED, "interrupted")
            waiting.poll(LOOK_SECONDS * 1000)

    def stop(self) -> None:
        """Do not wait any more. Any thread."""
        self._stopped = True

    def close(self) -> None:
        """Let go."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def refuse_own(path: Path, own: Collection[Path]) -> None:
    """StoreError for a path at or below the store or its mount."""
    for folder in own:
        if path == folder or folder in path.parents:
            raise StoreError(
                f"{path} lies in {folder}, which is this store or its own mount; use cp for that"
            )


def import_tree(
    fs: FileSystem, source: StrPath | IO[bytes], dest: StrPath = b"/", on_progress: OnProgress | None = None
) -> Report:
    """Bring a folder of the host, or a tar archive (a path or a stream), into the folder `dest` of `fs`.

    What was brought in before an error stays, whole files only. Single entries that could not be brought in
    are in the report.
    """
    if isinstance(source, str | bytes | os.PathLike):
        opened: Source = open_source(Path(os.path.realpath(os.fsdecode(source))), _own(fs))
    else:
        opened = TarSource(source, "the archive")
    return import_from(fs, opened, dest, on_progress)


def export_tree(
    fs: FileSystem, source: StrPath, dest: StrPath | IO[bytes], on_progress: OnProgress | None = None
) -> Report:
    """Take the tree at `source` in `fs` out into a folder of the host, a tar archive, or a stream of one."""

    def open_(report: Report) -> Target:
        if isinstance(dest, str | bytes | os.PathLike):
            return open_target(Path(os.path.realpath(os.fsdecode(dest))), _own(fs), report)
        return TarTarget(dest, report)

    return export_to(fs, source, open_, on_progress)


def _own(fs: FileSystem) -> list[Path]:
    return [Path(os.path.realpath(fs.store.storage.path))]
