"""vfs: a directory of the host mounted as a durable file system, or used as a library.

import vfs

vfs.mkfs("store")
with vfs.open("store") as fs:
    fs.write_bytes("/hello", b"world")
    fs.sync()
"""

from typing import TYPE_CHECKING

from vfs import errors
from vfs.deferring import deferred

if TYPE_CHECKING:
    from vfs.checker import Report, check
    from vfs.filesystem import FileSystem, mkfs
    from vfs.filesystem import open_filesystem as open
    from vfs.snapshots.diff import Difference
    from vfs.trees.copies import copy_tree, restore_tree
    from vfs.trees.report import Report as TreeReport
    from vfs.trees.transfer import export_tree, import_tree
else:
    # Whoever only talks to a daemon (most verbs of the command line) does without all of it.
    __getattr__ = deferred(
        __name__,
        {
            "Difference": "vfs.snapshots.diff",
            "FileSystem": "vfs.filesystem",
            "Report": "vfs.checker",
            "TreeReport": "vfs.trees.report:Report",
            "check": "vfs.checker",
            "copy_tree": "vfs.trees.copies",
            "export_tree": "vfs.trees.transfer",
            "import_tree": "vfs.trees.transfer",
            "mkfs": "vfs.filesystem",
            "open": "vfs.filesystem:open_filesystem",
            "restore_tree": "vfs.trees.copies",
        },
    )

__version__ = "0.1.0"

__all__ = [
    "Difference",
    "FileSystem",
    "Report",
    "TreeReport",
    "__version__",
    "check",
    "copy_tree",
    "errors",
    "export_tree",
    "import_tree",
    "mkfs",
    "open",
    "restore_tree",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
