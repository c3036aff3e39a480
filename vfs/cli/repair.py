"""`vfs fsck --repair STORE`: says what a repair will do, asks, does it, and says how that went.

Promises that nothing is done before somebody has said yes, and the exit codes of fsck(8).
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from vfs.cli import late
from vfs.cli.output import one_line, print_json, print_lines, progress_bar, size_text
from vfs.cli.verb import Failure
from vfs.errors import MountError, StoreBusy
from vfs.mount.mountinfo import read_mounts, resolve, vfs_around

CLEAN, CORRECTED, ERRORS_LEFT, CANCELLED = 0, 1, 4, 32
SHOWN_PROBLEMS = 20


def repair(target: Path, *, yes: bool, as_json: bool) -> int:
    """Repair a store that is not mounted; the exit code."""
    mounts = read_mounts()
    store = resolve(target, mounts)
    mount = vfs_around(store, mounts)
    if mount is not None:
        raise MountError(
            f"{target} is mounted; unmount it first (vfs umount {mount.point}), then repair {mount.store}"
        )
    try:
        with late.repairing(store) as work:
            with progress_bar(f"looking at {target}", quiet=as_json) as told:
                work.look(told)
            return _go_on(store, work, yes=yes, as_json=as_json)
    except StoreBusy as error:
        raise MountError(f"{error}; a repair needs the store for itself") from error


def _go_on(store: Path, work: "late.Repair", *, yes: bool, as_json: bool) -> int:
    document = _document(store, work)
    if not as_json:
        print_lines(_lines(store, work))
        sys.stdout.flush()
    if not work.needed:
        return _end(document, "clean", CLEAN, as_json=as_json)
    if not yes:
        if as_json or not sys.stdin.isatty():
            return _end(document, "not repaired", ERRORS_LEFT, as_json=as_json)
        if not _confirmed():
            return _end(document, "not repaired", CANCELLED, as_json=as_json)
    with progress_bar("repairing", quiet=as_json) as told:
        report = work.act(told)
    document["folder"] = work.folder
    document["left"] = [late.to_builtins(problem) for problem in report.problems]
    if not report.clean:
        if not as_json:
            print_lines([f"left: {problem.kind}: {problem.message}" for problem in report.problems])
        return _end(document, "not all is repaired", ERRORS_LEFT, as_json=as_json)
    return _end(document, "repaired", CORRECTED, as_json=as_json)


def _confirmed() -> bool:
    try:
        return click.confirm("repair the store?", default=False, err=True)
    except click.Abort:
        raise Failure("cancelled; nothing was changed", CANCELLED) from None


def _end(document: dict[str, Any], result: str, code: int, *, as_json: bool) -> int:
    if as_json:
        print_json({**document, "result": result, "exit_code": code})
        return code
    lines = {
        CLEAN: "clean, there is nothing to repair",
        CORRECTED: f"repaired; what was replaced is in {document['folder']}, which may be removed",
        CANCELLED: "cancelled; nothing was changed",
    }
    left = "errors are left; nothing was changed" if result == "not repaired" else "errors are left"
    text = lines.get(code, left)
    if result == "not repaired" and code == ERRORS_LEFT:
        text += f"; repair with: vfs fsck {shlex.quote(str(document['store']))} --repair --yes"
    print_lines([f"{document['store']}: {text}"])
    return code


def _document(store: Path, work: "late.Repair") -> dict[str, Any]:
    return {
        "store": str(store),
        "problems": [late.to_builtins(problem) for problem in work.found.problems],
        "problem_count": work.found.problem_count,
        "plan": plan_fields(work.plan),
        "room_bytes": work.room_bytes,
        "folder": work.folder,
        "left": [late.to_builtins(problem) for problem in work.left.problems],
    }


def plan_fields(plan: "late.Plan") -> dict[str, Any]:
    """The plan as JSON has it."""
    fields: dict[str, Any] = late.to_builtins(plan)
    return fields


def _lines(store: Path, work: "late.Repair") -> list[str]:
    found = work.found
    lines = [f"found: {problem.kind}: {problem.message}" for problem in found.problems[:SHOWN_PROBLEMS]]
    lines += _more(found.problem_count - len(lines))
    for group in work.plan.groups.values():
        lines += [f"{group.title}: {line}" for line in group.lines]
        lines += _more(group.count - len(group.lines)) if len(group.lines) >= 200 else []
    for loss in work.plan.losses:
        lines.append(f"lost: {loss.path}: {size_text(loss.lost_bytes)} cannot be read any more")
    lines += _more(work.plan.loss_count - len(work.plan.losses))
    lines += [f"note: {note}" for note in work.plan.notes]
    lines += [f"will be left: {problem.kind}: {problem.message}" for problem in work.left.problems]
    if work.needed:
        kept = f"{store}/{work.folder}"
        lines.append(f"a repair writes {size_text(work.room_bytes)}, and keeps what it replaces in {kept}")
    return [one_line(line) for line in lines]


def _more(count: int) -> list[str]:
    return [f"... and {count} more"] if count > 0 else []
