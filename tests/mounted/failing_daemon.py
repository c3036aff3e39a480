"""The vfs command with one fault in it: reading a symbolic link raises what nobody expects."""

import sys

from vfs.cli import main
from vfs.filesystem import FileSystem


def fail(fs: FileSystem, ino: int) -> bytes:
    """Stands in for `FileSystem.readlink`."""
    raise RuntimeError(f"a fault made for a test, in inode {ino}")


if __name__ == "__main__":
    FileSystem.readlink = fail  # type: ignore[assignment, method-assign]
    sys.exit(main())
