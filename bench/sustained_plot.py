"""A picture of a long write: room of the store beside the size of the data, and memory of the daemon.

Promises one PNG; it never opens a window.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.sizes import MIB
from bench.sustained_report import Moment, Summary

DATA, STORE, PACKS, LOG = "#b0b0b0", "#2a7f62", "#8cc3ae", "#c0392b"
RESIDENT, OWN = "#5b7aa6", "#1f3a5f"


def write_plot(path: Path, summary: Summary, moments: Sequence[Moment]) -> None:
    seconds = [moment.seconds for moment in moments]
    figure = Figure(figsize=(10, 8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for name, label, color in (
        ("logical_bytes", "written by the program", DATA),
        ("store_bytes", "whole store", STORE),
        ("pack_bytes", "packs", PACKS),
        ("log_bytes", "log, not packed yet", LOG),
    ):
        above.plot(
            seconds,
            [getattr(moment, name) / MIB for moment in moments],
            label=label,
            color=color,
            linewidth=2,
        )
    above.set_ylabel("MiB on the disk")
    above.set_title(
        f"{summary.logical_bytes / MIB:,.0f} MiB of text, binary, incompressible data and zero runs",
        fontsize=9,
    )
    for name, label, color in (
        ("resident_bytes", "resident (with the kernel's pages of mapped files)", RESIDENT),
        ("anonymous_bytes", "resident, the daemon's own", OWN),
    ):
        below.plot(
            seconds,
            [getattr(moment, name) / MIB for moment in moments],
            label=label,
            color=color,
            linewidth=2,
        )
    below.axhline(summary.peak_resident_bytes / MIB, color=RESIDENT, linestyle=":", linewidth=1)
    below.set_ylabel("memory of the daemon, MiB")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.axvline(summary.written_seconds, color="grey", linestyle="--", linewidth=1)
        axes.grid(linewidth=0.3)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
