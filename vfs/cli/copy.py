"""`vfs copy SRC DST`: copies a file or a folder inside a store, mounted or not, without moving its data."""

import os
from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli import late
from vfs.cli.either import either
from vfs.cli.output import OnProgress, counted, print_json, print_lines, progress_bar, size_text
from vfs.cli.target import find_inside
from vfs.cli.verb import json_option, to_path, verb


@verb("copy", short="Copy inside a store without moving data.")
@click.argument("source", metavar="SRC")
@click.argument("dest", metavar="DST")
@click.option("--force", is_flag=True, help="Replace DST if it is there, and no folder.")
@click.option(
    "--store",
    type=to_path,
    metavar="STORE|MOUNTPOINT",
    help="SRC and DST are paths inside the file system of this store, mounted or not.",
)
@json_option
def command(source: str, dest: str, force: bool, store: Path | None, as_json: bool) -> None:
    """Copy a file, or a folder with all that is in it, inside a mounted store, without moving its data.

    It goes into DST if that is a folder, else it is DST. All attributes are kept, and symbolic links stay
    links, as with cp -a. The copy is there when it is whole; after an error or Ctrl-C there is none.
    """
    for text in (source, dest):
        to_path(text)
    with progress_bar(f"copying {source}", quiet=as_json) as on_progress:
        outcome = copy(source, dest, store, on_progress, replace=force)
    if as_json:
        print_json(outcome)
    else:
        print_lines([_line(source, outcome)])


def copy(
    source: str, dest: str, store: Path | None, on_progress: OnProgress, *, replace: bool
) -> dict[str, Any]:
    """Copy, in a STORE|MOUNTPOINT if one is given; the figures, with the store's path and the copy's."""
    if store is not None:
        return _copy_in(store, source, dest, on_progress, replace=replace)
    inside = find_inside([source, dest])
    source, dest = inside.paths
    with inside.daemon as daemon:
        outcome = daemon.ask("copy", on_progress, source=source, dest=dest, top=inside.top, replace=replace)
    return {"store": str(inside.store), **outcome}


def _copy_in(
    store: Path, source: str, dest: str, on_progress: OnProgress, *, replace: bool
) -> dict[str, Any]:
    def work(fs: "vfs.FileSystem") -> dict[str, Any]:
        with late.in_words(fs):
            places = late.find_places(fs, os.fsencode(source), os.fsencode(dest), replace=replace)
            copier = late.Copier(fs, places.source, places.parent, places.name, replace=replace)
            late.run(fs, copier, on_progress)
        return {"path": places.path, **copier.fields()}

    words: dict[str, Any] = {"source": source, "dest": dest, "top": "/", "replace": replace}
    return either(store, "copy", work, on_progress=on_progress, **words)


def _line(source: str, outcome: dict[str, Any]) -> str:
    words = [
        counted(outcome["files"], "file"),
        counted(outcome["directories"], "folder"),
        f"{size_text(outcome['bytes'])} shared",
    ]
    return f"copied {source} to {outcome['path']}: {', '.join(words)}"
