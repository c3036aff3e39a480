"""The report on chains of programs: rows of Markdown, and what each row misses.

Promises the same ratios as the lines it is given; it never computes one itself.
"""

from collections.abc import Mapping, Sequence

from bench.chains import PEERS
from bench.results import Line, Spread

HEADINGS = ("workload", "unit", "floor", "ext4", "btrfs", "vfs", "over floor", "over ext4", "over btrfs")
CALLED = {"floor": "floor", "host": "ext4", "btrfs": "btrfs"}
CAPTION = (
    "Medians of the rounds. over …: speed of vfs over that of the other, median (least..most) of the rounds; "
    "above 1 vfs is faster. CPU: seconds of the daemon, floor / vfs. goal: what the ratio has to reach."
)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _ratio(ratio: Spread | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.2f} ({ratio.least:.2f}..{ratio.most:.2f})"


def _daemons(line: Line) -> str:
    seconds = [line.daemon_us.get(target) for target in ("floor", "vfs")]
    return " / ".join("-" if value is None else f"{value / 1e6:.2f}" for value in seconds)


def _verdict(by_peer: Mapping[str, Line]) -> tuple[str, str]:
    """The goals of a row, and whether they are met."""
    held = [line for line in by_peer.values() if line.at_least is not None]
    goals = ", ".join(f"{CALLED[line.against]} {line.at_least:.2f}" for line in held)
    short = [CALLED[line.against] for line in held if line.passes is False]
    unknown = [CALLED[line.against] for line in held if line.passes is None]
    words = [f"no ({', '.join(short)})"] if short else []
    words += [f"not measured ({', '.join(unknown)})"] if unknown else []
    return goals or "-", "; ".join(words) or ("yes" if held else "-")


def markdown(lines: Sequence[Line]) -> str:
    """A table, a row for each step."""
    rows: dict[str, dict[str, Line]] = {}
    for line in lines:
        rows.setdefault(line.figure, {})[line.against] = line
    headings = (*HEADINGS, "CPU", "goal", "met")
    told = [headings, tuple("---" if number < 2 else "---:" for number in range(len(headings)))]
    for figure, by_peer in rows.items():
        some = next(iter(by_peer.values()))
        told.append(
            (
                figure,
                some.unit,
                *(_figure(some.medians.get(target)) for target in (*PEERS, "vfs")),
                *(_ratio(by_peer[peer].ratio) for peer in PEERS),
                _daemons(some),
                *_verdict(by_peer),
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in told)
