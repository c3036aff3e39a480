"""`vfs gc STORE|MOUNTPOINT`: gives back what no file refers to any more. Never touches what one does."""

from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli import late
from vfs.cli.output import OnProgress, print_json, print_lines, progress_bar, size_text
from vfs.cli.target import find_target
from vfs.cli.verb import json_option, to_path, verb


@verb("gc", short="Give back room that nothing refers to any more.")
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@click.option("--dry-run", is_flag=True, help="Only tell what would be given back.")
@json_option
def command(target: Path, dry_run: bool, as_json: bool) -> None:
    """Drop what only deleted snapshots showed and packed data that no file refers to, and rewrite packs that
    hold little else.

    Works on a store that is mounted or not; files can be used meanwhile.
    """
    with progress_bar(f"collecting {target}", quiet=as_json) as on_progress:
        report = collect(target, on_progress, dry_run=dry_run)
    if as_json:
        print_json(report)
    else:
        print_lines([_line(report)])


def collect(path: Path, on_progress: OnProgress, *, dry_run: bool) -> dict[str, Any]:
    """What a collection of a STORE|MOUNTPOINT did, with the store's path."""
    store, daemon = find_target(path)
    if daemon is not None:
        with daemon:
            report = daemon.ask("gc", on_progress, dry_run=dry_run)
    else:
        with vfs.open(store) as fs:
            report = late.to_builtins(fs.collect(dry_run=dry_run, progress=on_progress))
    return {"store": str(store), "dry_run": dry_run, **report}


def _line(report: dict[str, Any]) -> str:
    freed = sum(report[key] for key in ("freed_bytes", "log_freed_bytes", "index_freed_bytes"))
    packs = (
        f"{report['packs_removed']} of {report['packs']} packs removed, {report['packs_rewritten']} rewritten"
    )
    if report["dry_run"]:
        packs = packs.replace("packs removed", "packs could be removed")
        freed += report["pruned_bytes"]
        return f"{report['store']}: about {size_text(freed)} could be given back; {packs}"
    if report["pruned_rows"]:
        packs += f"; {report['pruned_rows']} rows of deleted snapshots pruned"
    kept = f", {report['packs_kept']} kept for damage" if report["packs_kept"] else ""
    return f"{report['store']}: gave {size_text(freed)} back; {packs}{kept}"
