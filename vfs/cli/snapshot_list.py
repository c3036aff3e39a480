"""`vfs snapshot list STORE|MOUNTPOINT`: the snapshots of a store, the oldest first."""

from pathlib import Path
from typing import Any

import vfs
from vfs.cli import late
from vfs.cli.either import either
from vfs.cli.output import print_json, print_rows, size_text
from vfs.cli.verb import json_option, target_argument, verb

HEADINGS = ("name", "time (UTC)", "files", "size", "only it\nholds", "comment")
NUMBERS = HEADINGS[2:5]


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
        snapshots = outcome["snapshots"]
        print_rows(HEADINGS, map(_row, snapshots), map(_plain_row, snapshots), numbers=NUMBERS)


def _list(fs: "vfs.FileSystem") -> dict[str, Any]:
    return {"snapshots": late.list_fields(fs.snapshots(), late.exclusive_bytes(fs.store.index))}


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    return (
        facts["name"],
        facts["created"].replace("T", " ")[:-4],
        f"{facts['files']:,}",
        size_text(facts["logical_bytes"]),
        size_text(facts["exclusive_bytes"]),
        facts["comment"],
    )


def _plain_row(facts: dict[str, Any]) -> tuple[str, ...]:
    figures = (facts[key] for key in ("files", "logical_bytes", "exclusive_bytes"))
    made_by = "vfs" if facts["automatic"] else "you"
    return facts["name"], facts["created"], *map(str, figures), made_by, facts["comment"]
