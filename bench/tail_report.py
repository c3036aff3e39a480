"""Latency under load: percentiles of what was sampled, the verdict, and a table.

Promises that a sample that took long stands also for those that would have begun meanwhile: whoever asks at
fixed times and waits for each answer would count a stall of 300 ms once, and its victims not at all.
It is pure: no clock, file or process.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

P99_SECONDS = 0.020
STALL_SECONDS = 0.250
KINDS = ("stat", "read", "cold")
PLACES = ("vfs", "host", "beside")
"""A mount; the host's directory under the same load; the host's directory while the mount has that load."""

WORDS = {"stat": "stat", "read": "4 KiB read, resident", "cold": "4 KiB read, cold"}


def expected(durations: Iterable[float], period: float) -> list[float]:
    """Sorted, with those that could not begin while one was under way: each began a period later."""
    found = []
    for duration in durations:
        found.append(duration)
        late = duration - period
        while late >= period:
            found.append(late)
            late -= period
    return sorted(found)


@dataclass(frozen=True)
class Tail:
    """Seconds, but for the number of samples."""

    samples: int
    p50: float
    p99: float
    p999: float
    most: float

    @classmethod
    def of(cls, durations: Sequence[float]) -> "Tail":
        """From sorted durations."""
        count = len(durations)

        def at(share: float) -> float:
            return durations[min(count - 1, int(count * share))]

        return cls(count, at(0.5), at(0.99), at(0.999), durations[-1])


@dataclass(frozen=True)
class Row:
    """One load and one kind of sample, by place."""

    load: str
    kind: str
    tails: dict[str, Tail]

    @property
    def quick(self) -> bool:
        return self.tails["vfs"].p99 < P99_SECONDS

    @property
    def steady(self) -> bool:
        """No stall longer than allowed, beyond what the host's own directory shows."""
        host = max(tail.most for place, tail in self.tails.items() if place != "vfs")
        return self.tails["vfs"].most <= host + STALL_SECONDS

    @property
    def verdict(self) -> str:
        # A cold read waits for the disk by its nature, so its percentile is judged beside the host's.
        beside = max(tail.p99 for place, tail in self.tails.items() if place != "vfs")
        quick = self.quick or (self.kind == "cold" and self.tails["vfs"].p99 < beside + P99_SECONDS)
        faults = [*([] if quick else ["p99"]), *([] if self.steady else ["stall"])]
        return "**falls short: " + ", ".join(faults) + "**" if faults else "ok"


def markdown(rows: Sequence[Row]) -> list[str]:
    """One table, milliseconds; p50 / p99 / p99.9 / max in each cell."""
    lines = [
        "| load | what | vfs | host, same load | host, beside vfs | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [_cell(row.tails.get(place)) for place in PLACES]
        lines.append(f"| {row.load} | {WORDS[row.kind]} | {' | '.join(cells)} | {row.verdict} |")
    return lines


def _cell(tail: Tail | None) -> str:
    if tail is None:
        return "-"
    return " / ".join(_ms(seconds) for seconds in (tail.p50, tail.p99, tail.p999, tail.most))


def _ms(seconds: float) -> str:
    ms = seconds * 1e3
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"
