"""`vfs diff STORE|MOUNTPOINT FROM [TO]`: what differs between two snapshots, clones, or one of them and now.

Promises one line each, whatever a path has in it. Exit codes are those of diff(1), with --exit-code.
"""

import os
from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli import late
from vfs.cli.output import print_facts, print_json, print_lines
from vfs.cli.target import find_path, find_target
from vfs.cli.verb import ExitCodes, json_option, target_argument, verb
from vfs.printing import printable
from vfs.snapshots.kinds import ADDED, CHANGED, CLONE, REMOVED, RENAMED

SAME, DIFFERENT = 0, 1
TROUBLE = 2

SIGNS = {ADDED: "+", REMOVED: "-", CHANGED: "M", RENAMED: "R"}


@verb(
    "diff",
    ExitCodes(error=TROUBLE, usage=TROUBLE),
    short="List what differs between snapshots, clones, now.",
)
@target_argument
@click.argument("old", metavar="FROM")
@click.argument("new", metavar="[TO]", required=False)
@click.option("--stat", is_flag=True, help="Only the sums: how many of each kind, and bytes.")
@click.option("--exit-code", "tells", is_flag=True, help="Exit with 1 when there are differences.")
@json_option
def command(target: Path, old: str, new: str | None, stat: bool, tells: bool, as_json: bool) -> int:
    """List what differs between FROM and TO, one line each, ordered by path.

    FROM and TO are snapshots (NAME), folders of them (NAME:sub/dir), what is now (/), or folders of that and
    clones (/sub/dir, or as you see them below the mount point). Without TO a snapshot is compared with what
    is in its place now.

    \b
    + path               added
    - path               removed
    M path (mode, …)     changed: content, mode, owner, xattr
    R old -> new         renamed; what lies in a renamed folder is not told again

    Exit codes: 0, or with --exit-code 1 when there are differences; 2 when it could not be done.
    """
    outcome = compare(target, old, new, stat=stat)
    if as_json:
        print_json(outcome)
    elif stat:
        print_facts(outcome, title=f"{outcome['old']} to {outcome['new']}")
    else:
        print_lines([_line(each) for each in outcome["differences"]])
    return DIFFERENT if tells and any(outcome[kind] for kind in SIGNS) else SAME


def compare(path: Path, old: str, new: str | None, *, stat: bool) -> dict[str, Any]:
    """What was compared in a STORE|MOUNTPOINT, with the sums and, unless only these are wanted, all
    differences."""
    old, new = _word(path, old), None if new is None else _word(path, new)
    store, daemon = find_target(path)
    if daemon is not None:
        differences: list[dict[str, Any]] = []
        with daemon:
            # Kept until the last has come: a daemon does not wait for somebody who pages through them.
            outcome = daemon.ask("diff", on_page=differences.extend, old=old, new=new, stat=stat)
        return {"store": str(store), **outcome, **({} if stat else {"differences": differences})}
    with vfs.open(store, read_only=True) as fs:
        if fs.index_is_now or not late.is_about_now(old, new):
            return {"store": str(store), **late.report(fs, old, new, stat=stat)}
    # What was not unmounted cleanly has changes in its log that first have to get into the index.
    with vfs.open(store) as fs:
        return {"store": str(store), **late.report(fs, old, new, stat=stat)}


def _word(target: Path, word: str) -> str:
    """A folder of what is now as a path from the root of the store; a snapshot as it is."""
    if "/" not in word.partition(":")[0]:
        return word
    return "/" + find_path(target, word).path.lstrip("/")


def _line(difference: dict[str, Any]) -> str:
    kind, is_clone = difference["kind"], difference["type"] == CLONE
    slash = "/" if is_clone or difference["type"] == "folder" else ""
    path = _shown(difference["path"]) + slash
    if difference["old_path"] is not None:
        path = f"{_shown(difference['old_path'])}{slash} -> {path}"
    notes = ["clone"] if is_clone else []
    notes += difference["changes"]
    return f"{SIGNS[kind]} {path}" + (f" ({', '.join(notes)})" if notes else "")


def _shown(path: str) -> str:
    return printable(os.fsencode(path)) or "."
