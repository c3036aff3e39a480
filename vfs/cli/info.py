"""`vfs info STORE|MOUNTPOINT`: the figures of a store, and of its mount when it has one."""

from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli.output import on_terminal, print_facts, print_json, print_table, size_text
from vfs.cli.requests import print_requests
from vfs.cli.target import find_target
from vfs.cli.verb import json_option, to_path, verb
from vfs.errors import MountError

NOT_MOUNTED: dict[str, Any] = {
    "pid": None,
    "mountpoint": None,
    "read_only": None,
    "mounted_seconds": None,
    "options": None,
    "kernel": None,
    "supervisor_pid": None,
    "restarts": None,
    "figures_age_seconds": 0.0,
    "waiting": [],
    "waiting_requests": 0,
    "read_bytes": None,
    "written_bytes": None,
    "requests": None,
    "upkeep": None,
}

IN_STEPS = {"logical_bytes", "allocated_bytes", "unique_bytes", "stored_bytes", "ratios"}
"""What people see in the table of steps."""

IN_TABLES = {"requests", "upkeep"}
"""What --requests shows."""


@verb("info")
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@click.option(
    "--requests",
    "only_requests",
    is_flag=True,
    help="Only what the kernel has asked the mount for, and how long each kind took.",
)
@json_option
def command(target: Path, only_requests: bool, as_json: bool) -> None:
    """Show what is in a store, mounted or not."""
    facts = read_activity(target) if only_requests else read_facts(target)
    if as_json:
        print_json(facts)
    elif only_requests:
        print_requests(facts)
    else:
        left_out = IN_TABLES | IN_STEPS if on_terminal() else IN_TABLES
        shown = {key: value for key, value in facts.items() if key not in left_out}
        print_facts({**shown, "waiting": _waiting(facts)}, title=facts["store"])
        if "ratios" in facts:  # a disk that cannot be read gives no figures
            print_table("from what files hold to what is stored", ("", "size", "ratio"), _steps(facts))


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


def read_activity(path: Path) -> dict[str, Any]:
    """What was asked of a mount so far; MountError when nothing is mounted."""
    store, daemon = find_target(path)
    if daemon is None:
        raise MountError(f"{store} is not mounted: requests are counted from the mount to the unmount")
    with daemon:
        return daemon.ask("requests")


def _waiting(facts: dict[str, Any]) -> str | None:
    """What the daemon waits for, in one line."""
    if not facts["waiting"]:
        return None
    calls = ", ".join(f"{wait['what']} since {wait['seconds']:g} s" for wait in facts["waiting"])
    return f"{calls} ({facts['waiting_requests']} requests wait)"


def _steps(facts: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What each step of storing leaves: its name, the size after it, how many times smaller that is."""
    ratios = facts["ratios"]

    def row(name: str, key: str, step: str | None) -> tuple[str, str, str]:
        ratio = None if step is None else ratios[step]
        return name, size_text(facts[key]), "" if ratio is None else f"{ratio:.2f}"

    return [
        row("logical", "logical_bytes", None),
        row("after holes and fills", "allocated_bytes", "holes_and_fills"),
        row("after deduplication", "unique_bytes", "deduplication"),
        row("stored", "stored_bytes", "storing"),
        row("in all", "stored_bytes", "in_all"),
    ]
