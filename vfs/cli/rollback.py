"""`vfs rollback STORE|MOUNTPOINT NAME`: makes the whole tree what it was. What it is becomes a snapshot."""

import shlex
from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli.output import OnProgress, print_json, print_lines, progress_bar
from vfs.cli.target import find_target
from vfs.cli.verb import json_option, to_path, verb


@verb("rollback")
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@click.argument("name")
@json_option
def command(target: Path, name: str, as_json: bool) -> None:
    """Make everything in a store, mounted or not, what it was when snapshot NAME was taken.

    What it is now is kept as an automatic snapshot, to which can be rolled back in turn. Programs go on; what
    they have open and is not the same any more answers ESTALE.
    """
    with progress_bar(f"rolling back {target}", quiet=as_json) as on_progress:
        report = roll_back(target, name, on_progress)
    if as_json:
        print_json(report)
    else:
        undo = shlex.join(["vfs", "rollback", str(target), report["kept_as"]])
        print_lines(
            [
                f"{report['store']}: rolled back to {name}",
                f"what it was before is kept as {report['kept_as']}; to go back to that: {undo}",
            ]
        )


def roll_back(path: Path, name: str, on_progress: OnProgress) -> dict[str, Any]:
    """Roll a STORE|MOUNTPOINT back; which snapshot holds what it was before, with the store's path."""
    store, daemon = find_target(path)
    if daemon is not None:
        with daemon:
            kept_as = daemon.ask("rollback", on_progress, name=name)["kept_as"]
    else:
        with vfs.open(store) as fs:
            kept_as = fs.rollback(name).kept_as
    return {"store": str(store), "rolled_back_to": name, "kept_as": kept_as}
