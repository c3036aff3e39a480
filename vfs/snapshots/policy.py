"""Automatic snapshots: what is to be taken and what has had its time. Pure arithmetic.

Promises that of each class the newest ones stay, as many as the policy says, in the order in which they were
made, whatever the clock did meanwhile; and that nothing but what a policy has made is ever named to go.
Never asks for the time, and knows no time zone but UTC, so no hour comes twice a year.
"""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self

from vfs.errors import SnapshotError

SECOND_NS = 10**9
MOST_KEPT = 10_000
"""Of each class: every hour of a year is fewer."""

_MONDAY_SECONDS = 3 * 86400
"""From the Monday before 1970 to its first day, a Thursday: weeks begin on Monday."""

PERIOD_SECONDS = {"hourly": 3600, "daily": 86400, "weekly": 7 * 86400}
"""The classes, and how long a period of each is."""

_MADE = re.compile(r"auto-(hourly|daily|weekly)-[-T0-9]+", re.ASCII)
EXAMPLE = "hourly=24 daily=30 weekly=8"


class Policy(NamedTuple):
    """How many automatic snapshots are kept of each class; none at all: nothing is taken, nothing goes."""

    hourly: int = 0
    daily: int = 0
    weekly: int = 0

    @classmethod
    def parse(cls, words: Iterable[str]) -> Self:
        """From `hourly=24 daily=30 weekly=8`, or `none`; what is not named is not kept."""
        given = list(words)
        if given == ["none"]:
            return cls()
        counts: dict[str, int] = {}
        for word in given:
            name, _, count = word.partition("=")
            if name not in PERIOD_SECONDS or name in counts:
                raise SnapshotError(f"{word!r} is no part of a policy; give {EXAMPLE}, some of them, or none")
            if not (count.isascii() and count.isdigit() and len(count) < 9 and int(count) <= MOST_KEPT):
                raise SnapshotError(f"{word!r}: give how many to keep, {name}=0 to {name}={MOST_KEPT}")
            counts[name] = int(count)
        if not any(counts.values()):
            raise SnapshotError(f"a policy that keeps nothing is called none; else give {EXAMPLE}")
        return cls(**counts)

    def __str__(self) -> str:
        kept = [f"{name}={count}" for name, count in self._asdict().items() if count]
        return " ".join(kept) or "none"


class Made(NamedTuple):
    """A snapshot as far as a policy looks at it."""

    name: str
    created_ns: int
    automatic: bool


class Plan(NamedTuple):
    """Names of snapshots to make now, and of those that go after that."""

    create: list[str]
    delete: list[str]


def period(kind: str, time_ns: int) -> int:
    """The number of the hour, day or week that a time lies in."""
    shift = _MONDAY_SECONDS if kind == "weekly" else 0
    return (time_ns // SECOND_NS + shift) // PERIOD_SECONDS[kind]


def plan(
    policy: Policy,
    snapshots: Sequence[Made],
    now_ns: int,
    changed: Callable[[str], bool],
    looked_ns: int | None = None,
) -> Plan:
    """What a policy wants at this moment. `snapshots`: all, in the order in which they were made.

    One is due in each period that begins after the newest of its class, and is left out when nothing has
    `changed` since that one: it stands for this period as well. `looked_ns`: when the last plan was carried
    out; what was left out then is left to the next period. Times that lie in the future count for nothing.
    """
    taken = {snapshot.name for snapshot in snapshots}
    made = Plan([], [])
    if not any(policy):
        return made
    for kind, count in policy._asdict().items():
        own = [one for one in snapshots if one.automatic and kind_of(one.name) == kind]
        names = [one.name for one in own]
        if count and _is_due(kind, own, now_ns, looked_ns) and not (own and not changed(own[-1].name)):
            made.create.append(_free_name(kind, now_ns, taken))
            names.append(made.create[-1])
        made.delete.extend(names[: max(0, len(names) - count)])
    return made


def kind_of(name: str) -> str | None:
    """The class of an automatic snapshot that a policy has made, by its name."""
    match = _MADE.fullmatch(name)
    return match[1] if match else None


def _is_due(kind: str, own: Sequence[Made], now_ns: int, looked_ns: int | None) -> bool:
    times = [one.created_ns for one in own]
    if own and looked_ns is not None:
        times.append(looked_ns)
    past = [time_ns for time_ns in times if time_ns <= now_ns]
    return not past or period(kind, now_ns) > period(kind, max(past))


def _free_name(kind: str, now_ns: int, taken: set[str]) -> str:
    moment = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(now_ns // SECOND_NS))
    base = name = f"auto-{kind}-{moment}"
    number = 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
