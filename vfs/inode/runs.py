"""Splits the data of a write into runs of one repeated byte, which need no room, and the rest.

Looks at the data and never changes or keeps it. It is on the path of every write, so the two ends of a page
are compared before all of it is.
"""

from functools import cache
from typing import NamedTuple

from vfs.limits import FILL_RUN_BYTES, FILL_WHOLE_BYTES


class Run(NamedTuple):
    """Bytes [start, stop) of the data: all of them `byte`, or anything when that is None."""

    start: int
    stop: int
    byte: int | None


def plan_write(data: bytes) -> list[Run]:
    """The runs of the data, in order and without gaps.

    A run of one byte begins on a multiple of FILL_RUN_BYTES inside the data and ends on one, or at the end
    of the data; data that is one byte throughout is one run from FILL_WHOLE_BYTES on.
    """
    length = len(data)
    if length < FILL_RUN_BYTES:
        if (
            length >= FILL_WHOLE_BYTES
            and data[0] == data[-1]
            and data[1] == data[length // 2]
            and _page(data[0]).startswith(data)
        ):
            return [Run(0, length, data[0])]
        return [Run(0, length, None)] if length else []

    firsts = data[::FILL_RUN_BYTES]
    lasts = data[FILL_RUN_BYTES - 1 :: FILL_RUN_BYTES]  # one fewer than firsts where the last page is partial
    runs: list[Run] = []
    done = 0  # data before it is in runs
    start = stop = 0  # the run that is growing, of value `byte`
    byte = -1
    for number, value in enumerate(lasts):
        if value != firsts[number] or not data.startswith(_page(value), number * FILL_RUN_BYTES):
            continue
        offset = number * FILL_RUN_BYTES
        if value != byte or offset != stop:
            done = _finish(runs, done, start, stop, byte)
            start, byte = offset, value
        stop = offset + FILL_RUN_BYTES
    if 0 < length - stop < FILL_RUN_BYTES and byte >= 0 and _page(byte).startswith(data[stop:]):
        stop = length
    done = _finish(runs, done, start, stop, byte)
    if done < length:
        runs.append(Run(done, length, None))
    return runs


def _finish(runs: list[Run], done: int, start: int, stop: int, byte: int) -> int:
    """Add the run of one byte [start, stop), after the rest before it; how far the runs reach then."""
    if start == stop:
        return done
    if done < start:
        runs.append(Run(done, start, None))
    runs.append(Run(start, stop, byte))
    return stop


@cache
def _page(byte: int) -> bytes:
    """At most 256 of them, a megabyte in all; a program's data seldom asks for more than a few."""
    return bytes((byte,)) * FILL_RUN_BYTES
