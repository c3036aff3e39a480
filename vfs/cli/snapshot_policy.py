"""`vfs snapshot policy STORE|MOUNTPOINT [hourly=24 daily=30 weekly=8 | none]`: automatic snapshots."""

from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli import late
from vfs.cli.either import either
from vfs.cli.output import print_json, print_lines
from vfs.cli.verb import json_option, target_argument, verb


@verb("snapshot policy", short="Show or set how many automatic ones are kept.")
@target_argument
@click.argument("words", nargs=-1, metavar="[hourly=N daily=N weekly=N | none]")
@json_option
def command(target: Path, words: tuple[str, ...], as_json: bool) -> None:
    """Show how many automatic snapshots are kept, or say so: hourly=24 daily=30 weekly=8.

    While the store is mounted one is taken at the beginning of each hour, day (UTC) and week, unless nothing
    has changed since the last one of its kind; of each kind the newest ones are kept. What is not named is
    not kept. With none they are neither taken nor removed any more.
    """
    outcome = either(
        target, "snapshot_policy", lambda fs: _policy(fs, words), read_only=not words, words=list(words)
    )
    if as_json:
        print_json(outcome)
    else:
        print_lines([outcome["policy"]])


def _policy(fs: "vfs.FileSystem", words: tuple[str, ...]) -> dict[str, Any]:
    if words:
        with late.in_words(fs):
            fs.set_policy(late.Policy.parse(words))
    return late.policy_fields(fs.policy)
