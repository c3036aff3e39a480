"""A picture of the report: ratios with their spread and budget, and what the daemons cost.

Promises one PNG; it never opens a window and never computes a ratio itself.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results import Line

PASS, SHORT, FREE, FLOOR = "#2a7f62", "#c0392b", "#5b7aa6", "#b0b0b0"
ROW_INCHES = 0.24
LEAST_DRAWN = 0.02


def _label(line: Line) -> str:
    return f"{line.figure} ({line.mode})"


def _draw_ratios(axes: Axes, lines: Sequence[Line]) -> None:
    drawn = [line for line in lines if line.ratio is not None]
    for position, line in enumerate(drawn):
        assert line.ratio is not None
        color = FREE if line.passes is None else PASS if line.passes else SHORT
        ratio = line.ratio
        axes.plot([ratio.least, ratio.most], [position, position], color=color, linewidth=3, alpha=0.4)
        axes.plot([ratio.median], [position], color=color, marker="o")
        if line.at_least is not None:
            axes.plot([line.at_least] * 2, [position - 0.45, position + 0.45], color="black", linewidth=2)
    axes.set_yticks(range(len(drawn)), [f"{_label(line)} / {line.against}" for line in drawn], fontsize=7)
    axes.axvline(1, color="grey", linewidth=0.8, linestyle=":")
    axes.set_title("speed of vfs / reference: median, min..max; black mark: budget", fontsize=9)
    axes.set_xscale("log")
    axes.grid(axis="x", which="both", linewidth=0.3)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    if not drawn:
        axes.text(0.5, 0.5, "vfs was not measured", ha="center", transform=axes.transAxes)


def _draw_cost(axes: Axes, lines: Sequence[Line]) -> None:
    seen: dict[tuple[str, str], Line] = {}
    for line in lines:
        if line.daemon_us:
            seen.setdefault((line.workload, line.mode), line)
    drawn = list(seen.values())
    for position, line in enumerate(drawn):
        for target, shift, color in (("floor", -0.2, FLOOR), ("vfs", 0.2, FREE)):
            if target in line.daemon_us:
                axes.barh(
                    position + shift, max(line.daemon_us[target], LEAST_DRAWN), color=color, height=0.38
                )
    axes.set_yticks(range(len(drawn)), [f"{line.workload} ({line.mode})" for line in drawn], fontsize=7)
    axes.set_xscale("log")
    axes.margins(y=0.01)
    axes.set_title("CPU of the daemon per operation, us (grey: floor, blue: vfs)", fontsize=9)
    axes.invert_yaxis()


def write_plot(path: Path, lines: Sequence[Line]) -> None:
    figure = Figure(figsize=(15, 2 + ROW_INCHES * max(len(lines), 10)), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_ratios(left, lines)
    _draw_cost(right, lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
