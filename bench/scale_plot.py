"""A picture of the curves of one part of the scale: a panel for each kind of figure, sizes along a log axis.

Promises one PNG; it never opens a window.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.scale_curves import Curve

COLORS = ("#2a7f62", "#c0392b", "#5b7aa6", "#b8860b", "#7d3c98", "#808080")
COLUMNS = 2


def _draw(axes: Axes, panel: str, curves: list[Curve]) -> None:
    for color, curve in zip(COLORS * 3, curves, strict=False):
        sizes = sorted(curve.points)
        axes.plot(sizes, [curve.at(size) for size in sizes], label=curve.name, color=color, marker=".")
        least, most = ([pick(curve.points[size]) for size in sizes] for pick in (min, max))
        axes.fill_between(sizes, least, most, color=color, alpha=0.2, linewidth=0)
    axes.set_xscale("symlog" if any(min(curve.points) <= 0 for curve in curves) else "log")
    axes.set_ylim(bottom=0)
    axes.set_ylabel(curves[0].unit)
    axes.set_xlabel(curves[0].along)
    axes.set_title(panel, fontsize=9)
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=7)


def write_plot(path: Path, curves: list[Curve]) -> None:
    """All panels of one part into `path`."""
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(11, 3.3 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for place, panel in zip(axes.flat, panels, strict=False):
        _draw(place, panel, [curve for curve in curves if curve.panel == panel])
    for place in list(axes.flat)[len(panels) :]:
        place.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
