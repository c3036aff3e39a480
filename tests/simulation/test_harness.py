"""The harness itself: scripts come back from files, lives repeat, failures are told and become short."""

import errno
import time
from pathlib import Path

import pytest

import tests.simulation.report
import tests.simulation.shrink
import vfs.backing.log
from tests.crash.steps import Data, Step
from tests.simulation.__main__ import main
from tests.simulation.drawing import Drawing
from tests.simulation.life import Life
from tests.simulation.lives import LifeFailed, live, relive
from tests.simulation.oracle import Oracle
from tests.simulation.report import report
from tests.simulation.script import Script
from tests.simulation.shrink import shrink
from tests.simulation.surroundings import surroundings
from tests.simulation.worlds import World

NOW = 5


def test_a_script_comes_back_from_its_file(tmp_path: Path) -> None:
    steps = (
        Step("write", ("/a", 3, Data("text", 5, 6))),
        Step("xattr", ("/a", b"user.a", b"\0\xff")),
        Step("attributes", ("/a", {"mode": 0o600})),
        Step("fault", (errno.EIO, None, "log", 0, 1, 2)),
        Step("cut", (None, 9, None, (1, 2), (3, 4))),
        Step("sync"),
    )
    script = Script(3, 1, steps, 'why "this"\n')
    script.write(tmp_path / "script.json")
    assert Script.read(tmp_path / "script.json") == script


def test_a_life_repeats_call_by_call() -> None:
    def history(seed: int) -> list[tuple[str, str]]:
        calls: list[tuple[str, str]] = []
        with surroundings() as clock:
            life, drawing = Life(clock, seed, 3), Drawing(seed)
            for _ in range(80):
                life.step(drawing.next(life.oracle, failed=life.failed))
                calls += life.disk.history[-3:]
            life.end()
        return calls

    assert history(11) == history(11)
    assert history(11) != history(12)


def test_lives_do_what_they_are_for() -> None:
    """Were it otherwise, that none of them fails would prove nothing."""
    counts = [live(seed) for seed in range(16)]
    for what in counts[0]._fields:
        assert sum(getattr(count, what) for count in counts) > 0, what


def test_power_cuts_leave_states_since_the_durable_one_and_kills_the_last() -> None:
    oracle = Oracle(NOW)
    states = [oracle.now]
    for name in ("/a", "/b", "/c"):
        step = Step("mkdir", (name,))
        oracle.answered(step, oracle.now.after(step, NOW, 10 + len(states), {}))
        states.append(oracle.now)
        if name == "/a":
            oracle.durable_since(oracle.moment())
    pictures = [state.picture() for state in states]
    assert [oracle.matching(picture, durable=True) is not None for picture in pictures] == [
        False,
        *[True] * 3,
    ]
    assert [oracle.matching(picture, durable=False) is not None for picture in pictures] == [
        *[False] * 3,
        True,
    ]
    oracle.landed(states[2])
    assert oracle.matching(pictures[3], durable=True) is None
    assert oracle.highest_ino == 12


def test_what_was_under_way_counts_as_done_or_not_done_with_a_new_number() -> None:
    oracle = Oracle(NOW)
    oracle.seen(20)
    step = Step("create", ("/a",))
    before = oracle.now.picture()
    oracle.unanswered(step, NOW)
    for number, right in ((20, False), (21, True)):
        found = World.empty(NOW).after(step, NOW, number, {}).picture()
        assert (oracle.matching(found, durable=False) is not None) == right
    assert oracle.matching(before, durable=False) is not None


@pytest.fixture
def lying_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it was synced, and was not."""
    monkeypatch.setattr(vfs.backing.log.Log, "run_sync", lambda log, ticket: None)


def first_failure(kind: str) -> LifeFailed:
    """The first life that breaks that promise."""
    for seed in range(60):
        try:
            live(seed)
        except LifeFailed as failed:
            if failed.failure.kind == kind:
                return failed
    raise AssertionError("no life has failed")


def test_a_life_that_fails_becomes_a_short_script_and_a_command(
    lying_log: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = first_failure("prefix")
    monkeypatch.setattr(tests.simulation.report, "FOLDER", str(tmp_path))
    monkeypatch.setattr(tests.simulation.shrink, "monotonic", time.process_time)  # others may be quicker
    told = report(failed)
    (path,) = tmp_path.iterdir()
    assert f"python -m tests.simulation {failed.script.seed}" in told
    assert str(path) in told
    short = Script.read(path)
    assert len(short.steps) <= 10
    assert any(step.verb == "cut" for step in short.steps)
    with pytest.raises(LifeFailed):
        relive(short)
    assert main([str(path)]) == 1
    assert "prefix" in capsys.readouterr().out
    monkeypatch.undo()
    relive(short)
    assert main([str(path)]) == 0


def test_shrinking_ends_in_time(lying_log: None) -> None:
    failed = first_failure("prefix")
    assert shrink(failed, seconds=0.0) == failed.script
