"""`vfs snapshot list STORE|MOUNTPOINT`: the snapshots of a store, the oldest first."""

from pathlib import Path
from typing import Any

import vfs
from vfs.cli.either import either
from vfs.cli.output import print_json, print_rows, size_text
from vfs.cli.verb import json_option, target_argument, verb
from vfs.snapshots.listing import list_fields
from vfs.snapshots.sizes import exclusive_bytes

HEADINGS = ("name", "time", "files", "size", "only it holds", "made by", "comment")


@verb("snapshot list")
@target_argument
@json_option
def command(target: Path, as_json: bool) -> None:
    """List the snapshots of a store, the oldest first.

    Each with its time (UTC), files, the sum of their sizes, stored bytes that only it holds, who made it
    (you, or vfs by itself), and its comment. In a pipe a line each, with tabs between, sizes in bytes.
    """
    outcome = either(target, "snapshot_list", _list, read_only=True)
    if as_json:
        print_json(outcome)
    else:
        print_rows(
            f"snapshots of {outcome['store']}",
            HEADINGS,
            [_row(facts) for facts in outcome["snapshots"]],
            [_row(facts, plain=True) for facts in outcome["snapshots"]],
        )


def _list(fs: vfs.FileSystem) -> dict[str, Any]:
    return {"snapshots": list_fields(fs.snapshots(), exclusive_bytes(fs.store.index))}


def _row(facts: dict[str, Any], *, plain: bool = False) -> tuple[str, ...]:
    sizes = facts["logical_bytes"], facts["exclusive_bytes"]
    return (
        facts["name"],
        facts["created"],
        str(facts["files"]) if plain else f"{facts['files']:,}",
        *(str(size) if plain else size_text(size) for size in sizes),
        "vfs" if facts["automatic"] else "you",
        facts["comment"],
    )
