"""The command line: `vfs VERB ...`. One file a verb; nothing below this package imports from it."""

from vfs.cli.application import main

__all__ = ["main"]
