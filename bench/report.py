"""The report for people (a table) and for programs (JSON).

Promises the same lines in both; it never computes a ratio itself.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.results import Line, Sample, Skip, Spread

PLAIN_WIDTH = 200


@dataclass(frozen=True)
class Conditions:
    """What the figures depend on besides the code."""

    sizes: dict[str, Any]
    targets: dict[str, str]
    store_filesystem: str
    readahead_kib: Mapping[str, int]
    load_before: float
    """Processes that ran or wanted to before the bench began: above 0.5 the figures are disturbed."""
    seconds: float

    def document(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "cpus": len(os.sched_getaffinity(0)),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "root": os.geteuid() == 0,
        }


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _ratio(ratio: Spread | None) -> tuple[str, str]:
    if ratio is None:
        return "-", "-"
    return f"{ratio.median:.2f}", f"{ratio.least:.2f}..{ratio.most:.2f}"


def _verdict(line: Line) -> tuple[str, str]:
    if line.at_least is None:
        return "", ""
    if line.passes is None:
        return f"{line.at_least:.2f}", "-"
    return f"{line.at_least:.2f}", "[green]pass[/]" if line.passes else "[red]falls short[/]"


def table(lines: Sequence[Line]) -> Table:
    result = Table(title="Speed of vfs over what each row is held against (above 1 is faster)")
    result.add_column("workload", no_wrap=True)
    result.add_column("CPUs", no_wrap=True)
    for heading in (
        "unit",
        "floor",
        "host",
        "vfs",
        "vfs over",
        "ratio",
        "min..max",
        "best",
        "CPU ratio",
        "budget",
    ):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("verdict", no_wrap=True)
    for heading in ("requests", "floor us", "vfs us"):
        result.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        against = line.against
        if against not in ("floor", "host") and against in line.medians:
            against += f" {_number(line.medians[against])}"
        result.add_row(
            line.figure,
            line.mode,
            line.unit,
            *(_number(line.medians.get(target)) for target in ("floor", "host", "vfs")),
            against,
            *_ratio(line.ratio),
            "-" if line.best is None else f"{line.best:.2f}",
            _ratio(line.cpu_ratio)[0],
            *_verdict(line),
            "-" if line.requests is None else f"{line.requests:.2f}",
            *(_number(line.daemon_us.get(target)) for target in ("floor", "vfs")),
        )
    result.caption = (
        "figures, ratio and CPU ratio: median over rounds; best: best figure over best figure; "
        "CPU ratio: CPU of client and daemon, floor over vfs\n"
        "requests: of the kernel per operation; floor us, vfs us: CPU of the daemon per operation "
        "(of bulk data: per MiB)"
    )
    return result


def print_report(console: Console, lines: Sequence[Line], skips: Sequence[Skip]) -> None:
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(table(lines))
    print_verdicts(console, lines, skips)


def print_verdicts(console: Console, lines: Sequence[Line], skips: Sequence[Skip]) -> None:
    """What was left out and why, and which budgets are not met."""
    for skip in skips:
        word = "failed" if skip.failed else "skipped"
        console.print(f"{word}: {skip.workload} on {skip.target}: {skip.reason}", markup=False)
    held = [line for line in lines if line.passes is not None]
    if held:
        short = [
            f"{line.figure} ({line.mode}) of {line.subject}/{line.against}"
            for line in held
            if not line.passes
        ]
        text = f"{len(held) - len(short)} of {len(held)} budgets met"
        console.print(text + (f"; short: {', '.join(short)}" if short else ""), markup=False)


def write_json(
    path: Path,
    conditions: Conditions,
    lines: Sequence[Line],
    samples: Sequence[Sample],
    skips: Sequence[Skip],
    more: Mapping[str, Any] | None = None,
) -> None:
    """`more`: what only one group of measurements has."""
    document = {
        "conditions": conditions.document(),
        **(more or {}),
        "lines": [asdict(line) for line in lines],
        "samples": [asdict(sample) for sample in samples],
        "skipped": [asdict(skip) for skip in skips],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
