"""The report on stored size and time: a table for people, with each figure's spread and the ratios of sizes.

Promises the same ratios as the lines it is given; it never computes one itself.
"""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from bench.datasets import Extent
from bench.report import PLAIN_WIDTH, print_verdicts
from bench.results import Line, Sample, Skip, Spread, spread


def figures(samples: Sequence[Sample]) -> dict[str, dict[str, Spread]]:
    """Figure -> program -> median and extremes over the rounds."""
    values: dict[str, dict[str, list[float]]] = {}
    for sample in samples:
        for figure, value in sample.figures.items():
            values.setdefault(figure, {}).setdefault(sample.target, []).append(value)
    return {
        figure: {name: found for name, many in by_name.items() if (found := spread(many)) is not None}
        for figure, by_name in values.items()
    }


def _seconds(seconds: Spread | None) -> str:
    return "-" if seconds is None else f"{seconds.median:.1f} ({seconds.least:.1f}..{seconds.most:.1f})"


def _megabytes(megabytes: Spread | None) -> str:
    return "-" if megabytes is None else f"{megabytes.median:,.1f}"


def _ratio(lines: Sequence[Line], figure: str, subject: str, against: str) -> str:
    for line in lines:
        if (line.figure, line.subject, line.against) == (figure, subject, against) and line.ratio is not None:
            mark = "" if line.passes is None else " [green]pass[/]" if line.passes else " [red]short[/]"
            return f"{line.ratio.median:.2f}{mark}"
    return "-"


def _table(lines: Sequence[Line], extents: Mapping[str, Extent], samples: Sequence[Sample]) -> Table:
    peers = list(dict.fromkeys(line.against for line in lines))
    names = list(dict.fromkeys((*(line.subject for line in lines), *peers)))
    result = Table(title="The same data kept by each: room in MB, time in s, median (least..most)")
    result.add_column("data", no_wrap=True)
    result.add_column("", no_wrap=True)
    for heading in ("files", "MB", *names, *(f"vfs / {peer}" for peer in peers)):
        result.add_column(heading, justify="right", no_wrap=True)
    found = figures(samples)
    for name, extent in extents.items():
        stored, time = f"{name} stored", f"{name} time"
        result.add_row(
            name,
            "stored",
            f"{extent.files:,}",
            f"{extent.size_bytes / 1e6:,.1f}",
            *(_megabytes(found.get(stored, {}).get(keeper)) for keeper in names),
            *(_ratio(lines, stored, "vfs", peer) for peer in peers),
        )
        result.add_row(
            "",
            "time",
            "",
            "",
            *(_seconds(found.get(time, {}).get(keeper)) for keeper in names),
            *(_ratio(lines, time, "vfs", peer) for peer in peers),
        )
    result.caption = (
        "vfs: cp -a into the mount and vfs flush; vfs-import: vfs import. vfs / peer: above 1 is smaller, or "
        "faster. Stored: what the disk gave for the store or repository; btrfs: what it took in an image"
    )
    return result


def print_storage(
    console: Console,
    lines: Sequence[Line],
    extents: Mapping[str, Extent],
    samples: Sequence[Sample],
    skips: Sequence[Skip],
) -> None:
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(_table(lines, extents, samples))
    print_verdicts(console, lines, skips)
