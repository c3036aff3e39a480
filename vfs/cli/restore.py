"""`vfs restore STORE|MOUNTPOINT NAME PATH...`: brings single files and folders of a snapshot back."""

import os
from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli import late
from vfs.cli.either import either
from vfs.cli.output import OnProgress, counted, print_json, print_lines, progress_bar, size_text
from vfs.cli.target import find_path
from vfs.cli.verb import json_option, target_argument, verb


@verb("restore", short="Bring files and folders of a snapshot back.")
@target_argument
@click.argument("name")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@json_option
def command(target: Path, name: str, paths: tuple[str, ...], as_json: bool) -> None:
    """Have each PATH be what it is in the snapshot NAME, in place of what it is now.

    PATH is a file or a folder as you see it below the mount point, or counts from the root of the store.
    Folders above it that are gone are made as they were. Nothing is merged: what a folder has now and had not
    in the snapshot is gone with what is replaced.
    """
    with progress_bar(f"restoring from {name}", quiet=as_json) as on_progress:
        outcome = restore(target, name, list(paths), on_progress)
    if as_json:
        print_json(outcome)
    else:
        print_lines([_line(name, outcome)])


def restore(target: Path, name: str, paths: list[str], on_progress: OnProgress) -> dict[str, Any]:
    """Restore in a STORE|MOUNTPOINT; the figures, with the store's path."""
    inside = [find_path(target, path).path for path in paths]

    def work(fs: "vfs.FileSystem") -> dict[str, Any]:
        with late.in_words(fs):
            restorer = late.Restorer(fs, name, [os.fsencode(path) for path in inside])
            late.run(fs, restorer, on_progress)
        return restorer.fields()

    return either(target, "restore", work, on_progress=on_progress, name=name, paths=inside)


def _line(name: str, outcome: dict[str, Any]) -> str:
    words = [
        counted(outcome["files"], "file"),
        counted(outcome["directories"], "folder"),
        f"{size_text(outcome['bytes'])} shared",
    ]
    return f"restored {', '.join(outcome['paths'])} from {name}: {', '.join(words)}"
