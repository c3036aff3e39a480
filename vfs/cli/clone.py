"""`vfs clone STORE|MOUNTPOINT NAME[:sub/dir] PATH`: a writable tree that begins as a snapshot."""

import os
from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli import late
from vfs.cli.either import either
from vfs.cli.output import print_json, print_lines
from vfs.cli.target import PathInside, find_path
from vfs.cli.verb import json_option, target_argument, verb


@verb("clone", short="Make a writable tree that begins as a snapshot.")
@target_argument
@click.argument("words", nargs=-1, required=True, metavar="NAME[:sub/dir] PATH")
@click.option("--delete", is_flag=True, help="Remove the clone at PATH with all that is in it; no NAME then.")
@json_option
def command(target: Path, words: tuple[str, ...], delete: bool, as_json: bool) -> None:
    """Make a writable tree at PATH that begins as the snapshot NAME, or as the folder sub/dir in it.

    It takes no time and no room until something is changed in it, and there may be many. PATH must not exist,
    its folder must. PATH is what you see below the mount point, or counts from the root of the store.
    """
    wanted = 1 if delete else 2
    if len(words) != wanted:
        raise click.UsageError(f"Give {'only PATH with --delete' if delete else 'NAME[:sub/dir] and PATH'}.")
    inside = find_path(target, words[-1])
    outcome = _remove(target, inside) if delete else _make(target, words[0], inside)
    if as_json:
        print_json(outcome)
    elif delete:
        print_lines([f"removed the clone {outcome['path']} of {outcome['store']}"])
    else:
        print_lines([f"{outcome['path']} of {outcome['store']} is a clone of {outcome['source']}"])


def _make(target: Path, source: str, inside: PathInside) -> dict[str, Any]:
    def work(fs: "vfs.FileSystem") -> dict[str, Any]:
        return {"path": late.make_clone(fs, source, os.fsencode(inside.path)).path, "source": source}

    return either(target, "clone", work, source=source, **inside._asdict())


def _remove(target: Path, inside: PathInside) -> dict[str, Any]:
    def work(fs: "vfs.FileSystem") -> dict[str, Any]:
        return {"path": late.remove_clone(fs, os.fsencode(inside.path)).path}

    return either(target, "clone_delete", work, **inside._asdict())
