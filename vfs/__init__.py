"""vfs: a directory of the host mounted as a durable file system, or used as a library.

import vfs

vfs.mkfs("store")
with vfs.open("store") as fs:
    fs.write_bytes("/hello", b"world")
    fs.sync()
"""

from vfs.checker import Report, check
from vfs.filesystem import FileSystem, mkfs
from vfs.filesystem import open_filesystem as open
from vfs.snapshots.diff import Difference
from vfs.trees.copies import copy_tree, restore_tree
from vfs.trees.report import Report as TreeReport
from vfs.trees.transfer import export_tree, import_tree

__version__ = "0.1.0"

__all__ = [
    "Difference",
    "FileSystem",
    "Report",
    "TreeReport",
    "__version__",
    "check",
    "copy_tree",
    "export_tree",
    "import_tree",
    "mkfs",
    "open",
    "restore_tree",
]
