"""`vfs fsck STORE|MOUNTPOINT`: checks every invariant of a store. Changes it only with --repair.

The exit codes are those of fsck(8).
"""

import shlex
from pathlib import Path
from typing import Any

import click

import vfs
from vfs.cli import late
from vfs.cli.output import OnProgress, counted, print_json, print_lines, progress_bar, size_text
from vfs.cli.repair import repair
from vfs.cli.target import find_target
from vfs.cli.verb import ExitCodes, Failure, json_option, to_path, verb

CLEAN = 0
ERRORS_LEFT = 4
OPERATIONAL_ERROR = 8
USAGE_ERROR = 16
CANCELLED = 32


@verb("fsck", ExitCodes(error=OPERATIONAL_ERROR, usage=USAGE_ERROR, interrupted=CANCELLED))
@click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
@click.option("--data", is_flag=True, help="Read and verify every byte that is stored as well.")
@click.option("--repair", "mend", is_flag=True, help="Repair a store that is not mounted; asks first.")
@click.option("--yes", is_flag=True, help="With --repair: do not ask.")
@json_option
def command(target: Path, data: bool, mend: bool, yes: bool, as_json: bool) -> int:
    """Check a store, mounted or not; or repair one that is not.

    A repair reads all data, says what it will do, and keeps what it replaces in STORE/damaged.

    Exit codes: 0 clean, 1 errors corrected, 4 errors left, 8 the check could not be done, 16 wrong usage,
    32 cancelled.
    """
    if yes and not mend:
        raise Failure("--yes goes with --repair; see: vfs fsck --help", USAGE_ERROR)
    if mend:
        return repair(target, yes=yes, as_json=as_json)
    with progress_bar(f"checking {target}", quiet=as_json) as on_progress:
        report = check(target, on_progress, data=data)
    if as_json:
        print_json(report)
    else:
        print_lines(_lines(report))
    return CLEAN if report["clean"] else ERRORS_LEFT


def check(path: Path, on_progress: OnProgress, *, data: bool = False) -> dict[str, Any]:
    """The report on a STORE|MOUNTPOINT, with the store's path."""
    store, daemon = find_target(path)
    if daemon is not None:
        with daemon:
            return {"store": str(store), **daemon.ask("fsck", on_progress, data=data)}
    return {"store": str(store), **late.report_fields(vfs.check(store, on_progress, data=data))}


def _lines(report: dict[str, Any]) -> list[str]:
    lines = [f"{problem['kind']}: {problem['message']}" for problem in report["problems"]]
    lines += _more(report["problem_count"] - len(report["problems"]))
    lines += [f"note: {note}" for note in report["notes"]]
    lines += [f"damaged: {name}" for name in report["files_damaged"]]
    lines += _more(report["files_damaged_count"] - len(report["files_damaged"]))
    lines += [f"lost: {each['path']}: {each['length']} bytes at {each['offset']}" for each in report["lost"]]
    lines += _more(report["lost_count"] - len(report["lost"]))
    if report["data_seconds"]:
        speed = report["data_bytes"] / report["data_seconds"] / 1e6
        lines.append(f"read {size_text(report['data_bytes'])} of data at {speed:.0f} MB/s")
    counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in report["counts"].items())
    result = "clean"
    if not report["clean"]:
        store = shlex.quote(report["store"])
        result = (
            f"{counted(report['problem_count'], 'problem')}; mend that with: vfs fsck {store} --repair "
            "(while it is not mounted)"
        )
    return [*lines, f"{report['store']}: {result}" + (f" ({counts})" if counts else "")]


def _more(count: int) -> list[str]:
    return [f"... and {count} more"] if count > 0 else []
