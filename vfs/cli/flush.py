"""`vfs flush STORE|MOUNTPOINT`: packs everything now, and returns when that is done."""

from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli.output import OnProgress, print_json, print_lines, progress_bar, size_text
from vfs.cli.target import find_target
from vfs.cli.verb import json_option, to_path, verb


@verb("flush", short="Pack all raw data now.")
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@json_option
def command(target: Path, as_json: bool) -> None:
    """Pack all raw data of a store, mounted or not, and return when it is durable."""
    with progress_bar(f"packing {target}", quiet=as_json) as on_progress:
        outcome = flush(target, on_progress)
    if as_json:
        print_json(outcome)
    else:
        print_lines([f"{outcome['store']}: packed {size_text(outcome['packed_bytes'])}"])


def flush(path: Path, on_progress: OnProgress) -> dict[str, Any]:
    """Pack a STORE|MOUNTPOINT; the raw bytes that were packed, with the store's path."""
    store, daemon = find_target(path)
    if daemon is not None:
        with daemon:
            return {"store": str(store), **daemon.ask("flush", on_progress)}
    with vfs.open(store) as fs:
        return {"store": str(store), "packed_bytes": fs.flush()}
