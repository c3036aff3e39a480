"""`vfs restore TARGET NAME PATH…`: brings single files and folders of a snapshot back, mounted or not."""

import os
from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli.output import OnProgress, print_json, print_lines, progress_bar, size_text
from vfs.cli.target import find_target
from vfs.cli.verb import json_option, to_path, verb
from vfs.snapshots.places import in_words
from vfs.trees.copies import run
from vfs.trees.restorer import Restorer


@verb("restore")
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@click.argument("name")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@json_option
def command(target: Path, name: str, paths: tuple[str, ...], as_json: bool) -> None:
    """Have each PATH be what it is in the snapshot NAME, in place of what it is now.

    PATH is a file or a folder inside the file system. Folders above it that are gone are made as they were.
    Nothing is merged: what a folder has that its snapshot has not is gone with what is replaced.
    """
    with progress_bar(f"restoring from {name}", quiet=as_json) as on_progress:
        outcome = restore(target, name, list(paths), on_progress)
    if as_json:
        print_json(outcome)
    else:
        print_lines([_line(name, outcome)])


def restore(path: Path, name: str, paths: list[str], on_progress: OnProgress) -> dict[str, Any]:
    """Restore in a STORE|MOUNTPOINT; the figures, with the store's path."""
    store, daemon = find_target(path)
    if daemon is not None:
        with daemon:
            return {"store": str(store), **daemon.ask("restore", on_progress, name=name, paths=paths)}
    with vfs.open(store) as fs, in_words(fs):
        restorer = Restorer(fs, name, [os.fsencode(each) for each in paths])
        run(fs, restorer, on_progress)
        return {"store": str(store), **restorer.fields()}


def _line(name: str, outcome: dict[str, Any]) -> str:
    words = [
        f"{outcome['files']:,} files",
        f"{outcome['directories']:,} folders",
        f"{size_text(outcome['bytes'])} shared",
    ]
    return f"restored {', '.join(outcome['paths'])} from {name}: {', '.join(words)}"
