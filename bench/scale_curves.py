"""What the measurements of scale find: curves against a size, and claims with the figures that decide them.

Promises Markdown that can be pasted into a document as it is. It never measures.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Curve:
    """One quantity against a size; at each size all that was measured."""

    part: str
    panel: str
    """Curves with the same one are drawn together."""
    name: str
    unit: str
    along: str
    """What the sizes count."""
    points: dict[float, list[float]] = field(default_factory=dict)

    def at(self, size: float) -> float:
        """The median."""
        return median(self.points[size])

    @property
    def first(self) -> float:
        """The median at the smallest size."""
        return self.at(min(self.points))

    @property
    def last(self) -> float:
        """The median at the largest size."""
        return self.at(max(self.points))


@dataclass(frozen=True)
class Claim:
    """A sentence, what was found, and whether that is within the bound."""

    part: str
    sentence: str
    found: str
    bound: str
    holds: bool


class Findings:
    """All curves and claims of a run."""

    def __init__(self) -> None:
        self.curves: dict[tuple[str, str, str], Curve] = {}
        self.claims: list[Claim] = []

    def curve(self, part: str, panel: str, name: str, unit: str, along: str) -> Curve:
        """The curve of that name, a new one where there is none."""
        return self.curves.setdefault((part, panel, name), Curve(part, panel, name, unit, along))

    def claim(self, part: str, sentence: str, found: str, bound: str, *, holds: bool) -> None:
        self.claims.append(Claim(part, sentence, found, bound, holds))

    def at_most(self, part: str, sentence: str, value: float, most: float, unit: str) -> None:
        """A claim that a figure does not pass a bound."""
        self.claim(part, sentence, f"{shown(value)} {unit}", f"≤ {shown(most)} {unit}", holds=value <= most)

    def parts(self) -> list[str]:
        """Those that have curves."""
        return list(dict.fromkeys(curve.part for curve in self.curves.values()))

    def of(self, part: str) -> list[Curve]:
        """The curves of one part."""
        return [curve for curve in self.curves.values() if curve.part == part]


def shown(value: float) -> str:
    """A number for people."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cell(values: list[float]) -> str:
    text = shown(median(values))
    if len(values) > 1:
        text += f" ({shown(min(values))}..{shown(max(values))})"
    return text


def curve_rows(curves: list[Curve]) -> Iterator[str]:
    """A table of curves along the same sizes: median, and the least and the most where there are several."""
    sizes = sorted({size for curve in curves for size in curve.points})
    yield f"| {curves[0].along} | unit | " + " | ".join(shown(size) for size in sizes) + " |"
    yield "| --- " * (len(sizes) + 2) + "|"
    for curve in curves:
        cells = (_cell(curve.points[size]) if size in curve.points else "" for size in sizes)
        yield f"| {curve.panel}: {curve.name} | {curve.unit} | " + " | ".join(cells) + " |"


def markdown(findings: Findings) -> Iterator[str]:
    """Everything: the claims first, then the curves of each part."""
    yield "| claim | measured | bound | verdict |"
    yield "| --- | --- | --- | --- |"
    for claim in findings.claims:
        verdict = "holds" if claim.holds else "**falls short**"
        yield f"| {claim.sentence} | {claim.found} | {claim.bound} | {verdict} |"
    for part in findings.parts():
        of_part = findings.of(part)
        for along in dict.fromkeys(curve.along for curve in of_part):
            yield ""
            yield from curve_rows([curve for curve in of_part if curve.along == along])
