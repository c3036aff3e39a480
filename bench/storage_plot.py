"""A picture of stored size and speed of keeping, by set of data and program.

Promises one PNG; it never opens a window.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.datasets import Extent
from bench.results import Sample
from bench.storage_report import figures

COLORS = {
    "vfs": "#2a7f62",
    "vfs-import": "#8cc3ae",
    "restic": "#c0792b",
    "borg": "#5b7aa6",
    "btrfs": "#b0b0b0",
}
GROUP_WIDTH = 0.85


def _draw(axes: Axes, values: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> None:
    """Bars of data -> program -> (median, least, most), the extremes as a line."""
    names = [name for name in COLORS if any(name in by_name for by_name in values.values())]
    width = GROUP_WIDTH / max(1, len(names))
    for place, name in enumerate(names):
        drawn = [(group, by_name[name]) for group, by_name in enumerate(values.values()) if name in by_name]
        positions = [group + (place - (len(names) - 1) / 2) * width for group, _ in drawn]
        axes.bar(positions, [value[0] for _, value in drawn], width * 0.92, color=COLORS[name], label=name)
        for position, (_, (_, least, most)) in zip(positions, drawn, strict=True):
            axes.plot([position, position], [least, most], color="black", linewidth=1)
    axes.set_xticks(range(len(values)), list(values), fontsize=8)
    axes.grid(axis="y", linewidth=0.3)


def write_plot(path: Path, extents: Mapping[str, Extent], samples: Sequence[Sample]) -> None:
    found = figures(samples)
    room: dict[str, dict[str, tuple[float, float, float]]] = {}
    speed: dict[str, dict[str, tuple[float, float, float]]] = {}
    for name, extent in extents.items():
        megabytes = extent.size_bytes / 1e6
        room[name] = {
            keeper: (spread.median / megabytes, spread.least / megabytes, spread.most / megabytes)
            for keeper, spread in found.get(f"{name} stored", {}).items()
        }
        speed[name] = {
            keeper: (megabytes / spread.median, megabytes / spread.most, megabytes / spread.least)
            for keeper, spread in found.get(f"{name} time", {}).items()
        }
    figure = Figure(figsize=(12, 8), layout="constrained")
    above, below = figure.subplots(2, 1)
    _draw(above, room)
    above.set_title("stored size over size of the data: less is better", fontsize=9)
    figure.legend(
        *above.get_legend_handles_labels(), loc="outside upper right", ncols=len(COLORS), fontsize=8
    )
    _draw(below, speed)
    below.set_title("MB of data kept per second, until it is durable in its final form", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
