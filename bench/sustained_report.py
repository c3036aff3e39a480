"""What a long write came to: rates, the peaks of memory and of room, and whether they kept growing.

Promises that every peak is the largest of what was sampled (of the resident set: what the kernel kept).
It is pure: no clock, file or process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from bench.sizes import MIB

QUARTERS = 4


@dataclass(frozen=True)
class Moment:
    """One look at the daemon and its store."""

    seconds: float
    logical_bytes: int
    """Written so far."""
    store_bytes: int
    log_bytes: int
    pack_bytes: int
    resident_bytes: int
    anonymous_bytes: int
    """Of the resident set what belongs to the daemon alone: the rest are the kernel's pages of its files."""
    peak_resident_bytes: int
    """As the kernel kept it since the daemon began (VmHWM)."""


@dataclass(frozen=True)
class Summary:
    logical_bytes: int
    written_seconds: float
    packed_seconds: float
    """From the first write to the end of the flush."""
    longest_write_seconds: float
    peak_resident_bytes: int
    peak_anonymous_bytes: int
    peak_resident_by_quarter: tuple[int, ...]
    """Largest resident set while each quarter of the data was written: bounded where it does not grow."""
    peak_log_by_quarter: tuple[int, ...]
    peak_store_bytes: int
    peak_log_bytes: int
    packed_store_bytes: int
    """When the flush has returned."""
    closed_store_bytes: int
    """When the mount is gone."""
    compared: bool
    """All data was read back after a remount and was the same."""


def _quarters(moments: Sequence[Moment], figure: str) -> tuple[int, ...]:
    whole = moments[-1].logical_bytes
    peaks = [0] * QUARTERS
    for moment in moments:
        quarter = min(QUARTERS - 1, moment.logical_bytes * QUARTERS // whole)
        peaks[quarter] = max(peaks[quarter], getattr(moment, figure))
    return tuple(peaks)


def summarize(
    moments: Sequence[Moment],
    *,
    written_seconds: float,
    packed_seconds: float,
    closed_bytes: int,
    longest_write_seconds: float,
    compared: bool,
) -> Summary:
    last = moments[-1]
    return Summary(
        logical_bytes=last.logical_bytes,
        written_seconds=written_seconds,
        packed_seconds=packed_seconds,
        longest_write_seconds=longest_write_seconds,
        peak_resident_bytes=max(moment.peak_resident_bytes for moment in moments),
        peak_anonymous_bytes=max(moment.anonymous_bytes for moment in moments),
        peak_resident_by_quarter=_quarters(moments, "resident_bytes"),
        peak_log_by_quarter=_quarters(moments, "log_bytes"),
        peak_store_bytes=max(moment.store_bytes for moment in moments),
        peak_log_bytes=max(moment.log_bytes for moment in moments),
        packed_store_bytes=last.store_bytes,
        closed_store_bytes=closed_bytes,
        compared=compared,
    )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:,.0f}"


def print_sustained(console: Console, summary: Summary) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    logical = summary.logical_bytes
    say(f"{_mib(logical)} MiB of text, binary, incompressible data and zero runs, in turn")
    say(
        f"written at {logical / 1e6 / summary.written_seconds:,.0f} MB/s, until packed "
        f"{logical / 1e6 / summary.packed_seconds:,.0f} MB/s; "
        f"longest write of 1 MiB {summary.longest_write_seconds * 1e3:,.0f} ms"
    )
    say(
        f"daemon: peak RSS {_mib(summary.peak_resident_bytes)} MiB, its own memory at most "
        f"{_mib(summary.peak_anonymous_bytes)} MiB; RSS by quarter of the data "
        f"{', '.join(map(_mib, summary.peak_resident_by_quarter))} MiB"
    )
    say(
        f"store: at most {_mib(summary.peak_store_bytes)} MiB, raw log at most "
        f"{_mib(summary.peak_log_bytes)} MiB; log by quarter "
        f"{', '.join(map(_mib, summary.peak_log_by_quarter))} MiB"
    )
    say(
        f"store when packed {_mib(summary.packed_store_bytes)} MiB, closed "
        f"{_mib(summary.closed_store_bytes)} MiB ({summary.closed_store_bytes / logical:.2f} of the data)"
    )
    say("read back after a remount: " + ("the same" if summary.compared else "not tried"))
