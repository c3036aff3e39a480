"""A picture of latency under load: for each load the share of samples that took longer than so many ms.

Promises one PNG; it never opens a window.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.tail_report import P99_SECONDS

COLUMNS = 4
STYLES = {
    ("vfs", "stat"): ("#2a7f62", "-"),
    ("vfs", "read"): ("#c0392b", "-"),
    ("vfs", "cold"): ("#c0392b", ":"),
    ("host", "stat"): ("#808080", "-"),
    ("host", "cold"): ("#808080", ":"),
    ("beside", "stat"): ("#5b7aa6", "-"),
    ("beside", "cold"): ("#5b7aa6", ":"),
}
WORDS = {"vfs": "vfs", "host": "host, same load", "beside": "host, beside vfs"}

Samples = Mapping[str, Mapping[tuple[str, str], Sequence[float]]]
"""By load, then by place and kind: sorted seconds."""


def write_plot(path: Path, samples: Samples) -> None:
    lines = -(-len(samples) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 2.8 * lines + 0.6), layout="constrained")
    every = list(figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).flat)
    for axes, (load, found) in zip(every, samples.items(), strict=False):
        for (place, kind), (color, style) in STYLES.items():
            durations = found.get((place, kind))
            if durations:
                count = len(durations)
                axes.plot(
                    [seconds * 1e3 for seconds in durations],
                    [(count - number) / count for number in range(count)],
                    color=color,
                    linestyle=style,
                    linewidth=1.2,
                    label=f"{WORDS[place]}: {kind}",
                )
        axes.axvline(P99_SECONDS * 1e3, color="black", linestyle="--", linewidth=0.7)
        axes.axhline(0.01, color="black", linestyle="--", linewidth=0.7)
        axes.set_title(load, fontsize=9)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(1e-4, 1.2)
        axes.grid(linewidth=0.3)
    for axes in every[len(samples) :]:
        axes.set_visible(False)
    figure.supxlabel("milliseconds; dashed: 20 ms, and one of a hundred", fontsize=9)
    figure.supylabel("share of samples that took longer", fontsize=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
