"""Python's search for cycles: often a little, and everything only when nobody is kept waiting."""

import gc
from collections.abc import Iterator

import pytest

from vfs.mount import cycles
from vfs.mount.cycles import Cycles, shorten


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_many_new_objects_never_bring_a_look_at_everything() -> None:
    shorten()
    young, _, everything = (generation["collections"] for generation in gc.get_stats())
    kept = [[number] for number in range(50 * cycles.YOUNG_OBJECTS)]
    after = [generation["collections"] for generation in gc.get_stats()]
    assert len(kept) == 50 * cycles.YOUNG_OBJECTS
    assert after[0] - young >= 40, "the looks at new objects are short ones"
    assert after[2] == everything


def test_everything_is_looked_at_when_all_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, used = 0, 0.0
    monkeypatch.setattr(cycles, "_looks_at_old", lambda: looks)
    monkeypatch.setattr("time.process_time", lambda: used)
    collected: list[int] = []

    def collect() -> int:
        collected.append(looks)
        return 0

    monkeypatch.setattr(gc, "collect", collect)
    work = Cycles()
    assert not work.look()  # nothing has come since
    looks, used = cycles.WORTH_LOOKS, 5.0
    assert not work.look()  # enough, but somebody is busy
    assert work.look()  # and now nobody is
    assert not work.look()
    assert len(collected) == 1
    looks, used = looks + cycles.MOST_LOOKS, 10.0
    assert work.look()  # however busy all are
