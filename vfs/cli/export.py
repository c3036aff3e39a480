"""`vfs export STORE|MOUNTPOINT [SOURCE] DEST`: takes a tree out, to a folder or a tar archive."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli.output import OnProgress
from vfs.cli.pipes import pipe_to_stdout, refuse_terminal
from vfs.cli.target import find_target
from vfs.cli.transfer import STREAM, moving, show
from vfs.cli.verb import json_option, to_path, verb


@verb("export", short="Take a tree out, to a folder or an archive.")
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@click.argument("places", nargs=-1, metavar="[SOURCE] DEST")
@json_option
def command(target: Path, places: tuple[str, ...], as_json: bool) -> int:
    """Take the tree at SOURCE out of a store, mounted or not, to DEST.

    SOURCE is a path inside the file system, / if not given. DEST is a folder, which is made where it is
    missing; a name that ends in .tar, .tar.gz, .tar.xz or .tar.zst, for an archive; or - for an archive on
    stdout. Folders are merged, files of the same name replaced.
    """
    if not 1 <= len(places) <= 2 or not all(places):
        raise click.UsageError("give [SOURCE] DEST: a path inside the file system, and where it is to go.")
    source, dest = places if len(places) == 2 else ("/", places[0])
    streamed = dest == STREAM
    if streamed and as_json:
        raise click.UsageError("stdout cannot have both the archive and --json.")
    with moving(f"exporting to {dest}", quiet=as_json) as on_progress:
        outcome = take_out(target, source, dest, on_progress)
    done = f"exported {source} of {outcome['store']} to {dest}"
    return show(done, outcome, as_json=as_json, silent=streamed)


def take_out(path: Path, source: str, dest: str, on_progress: OnProgress) -> dict[str, Any]:
    """Export from a STORE|MOUNTPOINT; the figures, with the store's path."""
    streamed = dest == STREAM
    if streamed:
        refuse_terminal(sys.stdout.fileno(), "stdout")
    store, daemon = find_target(path)
    if daemon is not None:
        with daemon, ExitStack() as stack:
            given = stack.enter_context(pipe_to_stdout()) if streamed else dest
            text = os.path.abspath(given)
            return {"store": str(store), **daemon.ask("export", on_progress, source=source, dest=text)}
    with vfs.open(store, read_only=True) as fs:
        stdout = open(sys.stdout.fileno(), "wb", buffering=1 << 20, closefd=False) if streamed else None  # noqa: SIM115
        report = vfs.export_tree(fs, source, stdout or dest, on_progress)
    return {"store": str(store), **report.fields()}
