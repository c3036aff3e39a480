"""How `vfs info --requests` shows what a mount was asked for: a table, or a line for each kind of request.

Promises that nothing is shown that never occurred, and that what took the most time comes first.
"""

from collections.abc import Mapping
from typing import Any

from vfs.cli.output import on_terminal, print_lines, print_rows, size_text

DURATIONS = ("p50", "p99", "longest", "in all")
COLUMNS = ("count", *DURATIONS, "errors")
TIMES = ("p50_us", "p99_us", "max_us")

UPKEEP = {
    "commit": "commits of the log",
    "sync": "of that the disk",
    "checkpoint": "checkpoints",
    "slice": "parts of them that requests wait for",
    "index": "their index transactions",
    "turn": "waits for a turn (samples)",
}
"""What the daemon does beside requests, in this order."""


def print_requests(facts: Mapping[str, Any]) -> None:
    """The answer to `requests`."""
    requests, upkeep = facts["requests"], facts["upkeep"]
    done = {name: upkeep[name] for name in UPKEEP if upkeep[name]["count"]}
    if not on_terminal():
        lines = [_plain(name, figures) for name, figures in {**requests, **done}.items()]
        print_rows((), (), lines, numbers=())
        return
    rows = [(*_row(name, figures), f"{_errors(figures) or ''}") for name, figures in requests.items()]
    print_rows(("request", *COLUMNS), rows, (), numbers=COLUMNS)
    rows = [_row(UPKEEP[name], figures) for name, figures in done.items()]
    print_rows(("beside requests", *COLUMNS[:-1]), rows, (), numbers=COLUMNS)
    print_lines([_summary(facts)])


def _errors(figures: Mapping[str, Any]) -> int:
    return sum(figures.get("errors", {}).values())


def _row(name: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    times = (duration_text(figures[time] / 1e6) for time in TIMES)
    return (name, f"{figures['count']:,}", *times, duration_text(figures["total_seconds"]))


def _plain(name: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    times = (f"{figures[time]:.3f}" for time in TIMES)
    return (name, str(figures["count"]), *times, f"{figures['total_seconds']:.6f}", str(_errors(figures)))


def _summary(facts: Mapping[str, Any]) -> str:
    commit = facts["upkeep"]["commit"]
    words = [
        f"in {duration_text(facts['mounted_seconds'])}",
        f"{size_text(facts['read_bytes'])} read",
        f"{size_text(facts['written_bytes'])} written",
    ]
    if commit["count"]:
        mean = commit["frames"] / commit["count"]
        words.append(f"{mean:,.1f} records a commit, {commit['most_frames']:,} at the most")
    return ", ".join(words)


def duration_text(seconds: float) -> str:
    """A duration for people, with three digits: 4.21 µs, 17.0 ms, 1.50 s, 12 min."""
    if seconds >= 999.5:
        return f"{seconds / 3600:.1f} h" if seconds >= 36_000 else f"{seconds / 60:,.0f} min"
    for unit in ("s", "ms", "µs"):
        if seconds >= 0.9995 or unit == "µs":
            digits = 2 if seconds < 9.995 else 1 if seconds < 99.95 else 0
            return f"{seconds:.{digits}f} {unit}"
        seconds *= 1e3
    raise AssertionError("the last unit takes everything")
