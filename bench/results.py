"""What a run gave, and the arithmetic that turns it into ratios with medians and spreads.

Promises that a ratio divides figures of the same round; it is pure: no clock, file or process.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.workload import Mode, Row, Workload

SUBJECT = "vfs"


@dataclass(frozen=True)
class Sample:
    """One workload, once, on one target."""

    workload: str
    target: str
    mode: Mode
    round: int
    operations: int
    figures: dict[str, float]
    client_cpu_seconds: float = 0.0
    cpu_seconds: float | None = None
    """Of the daemon, where there is one."""
    write_calls: int | None = None


@dataclass(frozen=True)
class Skip:
    """Something that was not measured, and why."""

    workload: str
    target: str
    reason: str
    failed: bool


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Line:
    """One line of the report: a row in one mode."""

    figure: str
    workload: str
    mode: Mode
    unit: str
    medians: dict[str, float]
    subject: str
    against: str
    ratio: Spread | None
    """Of the ratios of the rounds."""
    best: float | None
    """The ratio of the best figures of all rounds: what a noisy machine disturbs least."""
    cpu_ratio: Spread | None
    """CPU of client and daemon together, the floor's over that of vfs: free of waiting and of neighbours."""
    at_least: float | None
    passes: bool | None
    """None where there is no budget or nothing to hold against it."""
    daemon_us: dict[str, float]
    """CPU of the daemon per operation, in microseconds, by target."""
    requests: float | None
    """Requests of the kernel per operation, as the floor answered them."""


def spread(values: Sequence[float]) -> Spread | None:
    return Spread(statistics.median(values), min(values), max(values)) if values else None


def ratios(row: Row, samples: Iterable[Sample]) -> list[float]:
    """Speed of the subject over what the row is against, a value per round with both; above 1 is better."""
    by_round: dict[int, dict[str, float]] = {}
    for sample in samples:
        if row.figure in sample.figures:
            by_round.setdefault(sample.round, {})[sample.target] = sample.figures[row.figure]
    result = []
    for figures in by_round.values():
        if row.subject in figures and row.against in figures:
            mine, other = figures[row.subject], figures[row.against]
            result.append(other / mine if row.lower_is_better else mine / other)
    return result


def cpu_ratios(samples: Iterable[Sample]) -> list[float]:
    """CPU of the floor and its client over that of vfs and its client, a value per round that has both."""
    by_round: dict[int, dict[str, float]] = {}
    for sample in samples:
        if sample.cpu_seconds is not None and sample.operations:
            cost = (sample.cpu_seconds + sample.client_cpu_seconds) / sample.operations
            by_round.setdefault(sample.round, {})[sample.target] = cost
    return [
        costs["floor"] / costs[SUBJECT] for costs in by_round.values() if {"floor", SUBJECT} <= costs.keys()
    ]


def best_ratio(row: Row, samples: Iterable[Sample]) -> float | None:
    """The best figure of the subject over the best of what the row is against."""
    pick = min if row.lower_is_better else max
    best: dict[str, float] = {}
    for sample in samples:
        if row.figure in sample.figures:
            figure = sample.figures[row.figure]
            best[sample.target] = pick(figure, best.get(sample.target, figure))
    if row.subject not in best or row.against not in best:
        return None
    mine, other = best[row.subject], best[row.against]
    return other / mine if row.lower_is_better else mine / other


def _medians(samples: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    by_target: dict[str, list[float]] = {}
    for target, value in samples:
        if value is not None:
            by_target.setdefault(target, []).append(value)
    return {target: statistics.median(values) for target, values in by_target.items()}


def _per_operation(total: float | None, sample: Sample, scale: float = 1.0) -> float | None:
    return None if total is None or sample.operations == 0 else total * scale / sample.operations


def line(workload: Workload, row: Row, mode: Mode, samples: Sequence[Sample]) -> Line:
    """`samples` are those of this workload and mode."""
    ratio = spread(ratios(row, samples))
    at_least = row.at_least if mode in row.budget_modes else None
    passes = None if ratio is None or at_least is None else ratio.median >= at_least
    requests = _medians((s.target, _per_operation(s.write_calls, s)) for s in samples)
    return Line(
        figure=row.figure,
        workload=workload.name,
        mode=mode,
        unit=row.unit,
        medians=_medians((s.target, s.figures.get(row.figure)) for s in samples),
        subject=row.subject,
        against=row.against,
        ratio=ratio,
        best=best_ratio(row, samples),
        cpu_ratio=spread(cpu_ratios(samples)) if row.against == "floor" else None,
        at_least=at_least,
        passes=passes,
        daemon_us=_medians((s.target, _per_operation(s.cpu_seconds, s, 1e6)) for s in samples),
        requests=requests.get("floor"),
    )


def lines(workloads: Iterable[Workload], samples: Sequence[Sample]) -> list[Line]:
    """Every row that has at least one figure, in the order of the workloads."""
    result = []
    for workload in workloads:
        for mode in workload.modes:
            mine = [s for s in samples if s.workload == workload.name and s.mode == mode]
            result += [line(workload, row, mode, mine) for row in workload.rows if mine]
    return result
