"""`vfs snapshot create|list|delete|rename|policy`: moments of a store that stay, mounted or not."""

import importlib
from pathlib import Path
from typing import Any, ClassVar

import click

import vfs
from vfs.cli import late
from vfs.cli.either import either
from vfs.cli.output import counted, print_json, print_lines
from vfs.cli.verb import json_option, target_argument, verb


class Words(click.Group):
    """The words after `vfs snapshot`; those that stand in files of their own are imported when asked for."""

    elsewhere: ClassVar = {"list": "vfs.cli.snapshot_list", "policy": "vfs.cli.snapshot_policy"}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["create", "list", "delete", "rename", "policy"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.elsewhere:
            found = importlib.import_module(self.elsewhere[cmd_name]).command
            assert isinstance(found, click.Command)
            return found
        return super().get_command(ctx, cmd_name)


@click.group("snapshot", cls=Words, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Keep, list and forget moments of a store, mounted or not."""


@verb("snapshot create")
@target_argument
@click.argument("name")
@click.option("--comment", default="", metavar="TEXT", help="What it is for; shown in the list.")
@json_option
def create(target: Path, name: str, comment: str, as_json: bool) -> None:
    """Keep everything as it is now, under a NAME. Takes no room until files change, and the same time for any
    number of files.

    On a mount, MOUNTPOINT/.snapshots/NAME shows it.
    """

    def work(fs: "vfs.FileSystem") -> dict[str, Any]:
        with late.in_words(fs):
            return late.to_fields(fs.create_snapshot(name, comment))

    outcome = either(target, "snapshot_create", work, name=name, comment=comment)
    _show(
        outcome,
        f"snapshot {name} of {outcome['store']}: {counted(outcome['files'], 'file')}",
        as_json=as_json,
    )


@verb("snapshot delete", short="Forget snapshots, all that are named or none.")
@target_argument
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def delete(target: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Forget snapshots, all that are named or, when one of them does not exist, none.

    The room that only they took comes back in the background, or at once with vfs gc.
    """
    wanted = list(dict.fromkeys(names))

    def work(fs: "vfs.FileSystem") -> dict[str, Any]:
        with late.in_words(fs):
            fs.delete_snapshots(wanted)
        return {"deleted": wanted}

    outcome = either(target, "snapshot_delete", work, names=wanted)
    _show(outcome, f"deleted {', '.join(wanted)} of {outcome['store']}", as_json=as_json)


@verb("snapshot rename")
@target_argument
@click.argument("name", metavar="OLD")
@click.argument("new_name", metavar="NEW")
@json_option
def rename(target: Path, name: str, new_name: str, as_json: bool) -> None:
    """Give a snapshot another name."""

    def work(fs: "vfs.FileSystem") -> dict[str, Any]:
        with late.in_words(fs):
            fs.rename_snapshot(name, new_name)
        return late.to_fields(fs.snapshot(new_name))

    outcome = either(target, "snapshot_rename", work, name=name, new_name=new_name)
    _show(outcome, f"snapshot {name} of {outcome['store']} is called {new_name} now", as_json=as_json)


def _show(outcome: dict[str, Any], line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(outcome)
    else:
        print_lines([line])


for word, found in (("create", create), ("delete", delete), ("rename", rename)):
    command.add_command(found, word)
