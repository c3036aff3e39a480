"""`vfs info STORE|MOUNTPOINT`: the figures of a store, and of its mount when it has one."""

from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli.output import print_facts, print_json
from vfs.cli.target import find_target
from vfs.cli.verb import json_option, to_path, verb

NOT_MOUNTED = {"pid": None, "mountpoint": None, "read_only": None, "mounted_seconds": None, "options": None}


@verb("info")
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@json_option
def command(target: Path, as_json: bool) -> None:
    """Show what is in a store, mounted or not."""
    facts = read_facts(target)
    if as_json:
        print_json(facts)
    else:
        print_facts(facts, title=facts["store"])


def read_facts(path: Path) -> dict[str, Any]:
    """Everything that is known of a STORE|MOUNTPOINT; the first few keys are what it is and where."""
    store, daemon = find_target(path)
    if daemon is not None:
        with daemon:
            facts = daemon.ask("info")
    else:
        with vfs.open(store, read_only=True) as fs:
            facts = {**fs.info(), **NOT_MOUNTED, "store": str(store)}
    first = ("store", "mountpoint", "pid")
    return {key: facts.get(key) for key in first} | facts
