"""`vfs import STORE|MOUNTPOINT SOURCE [DEST]`: brings a folder or a tar archive in, mounted or not."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli.output import OnProgress
from vfs.cli.pipes import pipe_from_stdin, refuse_terminal
from vfs.cli.target import find_target
from vfs.cli.transfer import STREAM, moving, show
from vfs.cli.verb import json_option, to_path, verb


@verb("import", short="Bring a folder or an archive in.")
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@click.argument("source", type=to_path)
@click.argument("dest", default="/")
@json_option
def command(target: Path, source: Path, dest: str, as_json: bool) -> int:
    """Bring what is in SOURCE into the folder DEST of a store, mounted or not.

    SOURCE is a folder, a tar archive (also compressed with gzip, xz, zstd or bzip2), or - for an archive on
    stdin. DEST is a path inside the file system, / if not given, and is made where it is missing. Folders are
    merged, files of the same name replaced.
    """
    with moving(f"importing {source}", quiet=as_json) as on_progress:
        outcome = bring_in(target, source, dest, on_progress)
    return show(f"imported {source} into {outcome['store']}", outcome, as_json=as_json)


def bring_in(path: Path, source: Path, dest: str, on_progress: OnProgress) -> dict[str, Any]:
    """Import into a STORE|MOUNTPOINT; the figures, with the store's path."""
    streamed = str(source) == STREAM
    if streamed:
        refuse_terminal(sys.stdin.fileno(), "stdin")
    store, daemon = find_target(path)
    if daemon is not None:
        with daemon, ExitStack() as stack:
            given = stack.enter_context(pipe_from_stdin()) if streamed else source
            text = os.path.abspath(given)
            return {"store": str(store), **daemon.ask("import", on_progress, source=text, dest=dest)}
    with vfs.open(store) as fs:
        stdin = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) if streamed else None  # noqa: SIM115
        report = vfs.import_tree(fs, stdin or source, dest, on_progress)
    return {"store": str(store), **report.fields()}
