"""`vfs rollback STORE|MOUNTPOINT NAME`: makes the whole tree what it was. What it is becomes a snapshot."""

import shlex
from pathlib import Path

import click

import vfs
from vfs.cli import late
from vfs.cli.either import either
from vfs.cli.output import print_json, print_lines
from vfs.cli.verb import json_option, to_path, verb


@verb("rollback", short="Make everything what it was at a snapshot.")
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@click.argument("name")
@json_option
def command(target: Path, name: str, as_json: bool) -> None:
    """Make everything in a store, mounted or not, what it was when snapshot NAME was taken.

    What it is now is kept as an automatic snapshot, to which can be rolled back in turn. Programs go on; what
    they have open and is not the same any more answers ESTALE.
    """

    def roll_back(fs: "vfs.FileSystem") -> dict[str, str]:
        with late.in_words(fs):
            return {"kept_as": fs.rollback(name).kept_as}

    report = either(target, "rollback", roll_back, name=name)
    if as_json:
        print_json({"store": report["store"], "rolled_back_to": name, "kept_as": report["kept_as"]})
        return
    undo = shlex.join(["vfs", "rollback", str(target), report["kept_as"]])
    print_lines(
        [
            f"{report['store']}: rolled back to {name}",
            f"what it was before is kept as {report['kept_as']}; to go back to that: {undo}",
        ]
    )
