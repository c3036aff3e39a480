"""What a policy wants at a moment: pure arithmetic, under clocks that go, sleep, and jump either way."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfs.backing.snapshot_names import check_name
from vfs.errors import SnapshotError
from vfs.snapshots.policy import MOST_KEPT, PERIOD_SECONDS, Made, Plan, Policy, kind_of, plan

SECOND = 10**9
HOUR, DAY = 3600, 86400
MONDAY = 1_795_996_800
"""Monday, 2026-11-30, 00:00:00 UTC."""


class Store:
    """Snapshots that come and go as plans say, by a clock that the test sets; and what each of them held."""

    def __init__(self, policy: Policy, now: int = MONDAY) -> None:
        self.policy = policy
        self.now = now
        self.made: list[Made] = []
        self.states: dict[str, int] = {}
        self.state = 0
        self.looked: int | None = None

    def changed(self, name: str) -> bool:
        return self.states[name] != self.state

    def add(self, name: str, *, automatic: bool = True) -> None:
        assert name not in {made.name for made in self.made}
        check_name(name)
        self.made.append(Made(name, self.now * SECOND, automatic))
        self.states[name] = self.state

    def look(self) -> Plan:
        """Carry out what is wanted."""
        wanted = plan(self.policy, self.made, self.now * SECOND, self.changed, self.looked)
        for name in wanted.create:
            self.add(name)
        self.made = [made for made in self.made if made.name not in wanted.delete]
        self.looked = self.now * SECOND
        return wanted

    def go(self, seconds: int, *, every: int = 60, change: Callable[[], bool] = lambda: True) -> list[str]:
        """Let time pass, with a look now and then; returns what was made."""
        end = self.now + seconds
        found = []
        while self.now < end:
            self.now += every
            self.state += change()
            found += self.look().create
        return found

    def kept(self, kind: str) -> list[str]:
        return [made.name for made in self.made if kind_of(made.name) == kind]


def test_words() -> None:
    assert Policy.parse(["hourly=24", "daily=30", "weekly=8"]) == Policy(24, 30, 8)
    assert Policy.parse(["daily=1"]) == Policy(0, 1, 0)
    assert Policy.parse(["none"]) == Policy()
    assert str(Policy(24, 0, 8)) == "hourly=24 weekly=8"
    assert str(Policy()) == "none"


@pytest.mark.parametrize(
    "words",
    [
        *(["hourly"], ["hourly="], ["hourly=-1"], ["hourly=x"], ["hourly=1.5"], ["hourly=٣"], ["Hourly=1"]),
        *(["monthly=1"], ["hourly=1", "hourly=2"], ["none", "hourly=1"], ["hourly=0"], [""], ["=3"]),
        *([f"hourly={MOST_KEPT + 1}"], ["hourly=99999999999999999999"], ["hourly=1,daily=2"]),
    ],
)
def test_what_is_no_policy(words: list[str]) -> None:
    with pytest.raises(SnapshotError):
        Policy.parse(words)


def test_the_first_one_comes_at_once_and_then_with_each_hour() -> None:
    store = Store(Policy(hourly=24), now=MONDAY + 20 * 60)
    assert store.look().create == ["auto-hourly-2026-11-30T00-20-00"]
    assert store.go(39 * 60) == []
    assert store.go(60) == ["auto-hourly-2026-11-30T01-00-00"]
    assert store.go(3 * HOUR) == [f"auto-hourly-2026-11-30T0{hour}-00-00" for hour in (2, 3, 4)]


def test_days_begin_at_midnight_utc_and_weeks_on_monday() -> None:
    store = Store(Policy(daily=100, weekly=100), now=MONDAY - 1)
    store.look()
    assert store.go(1, every=1) == ["auto-daily-2026-11-30T00-00-00", "auto-weekly-2026-11-30T00-00-00"]
    made = store.go(7 * DAY, every=600)
    assert [name for name in made if kind_of(name) == "weekly"] == ["auto-weekly-2026-12-07T00-00-00"]
    assert len(made) == 8


def test_no_hour_comes_twice_or_never_when_clocks_are_put_forward_or_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    for day in (1_774_656_000, 1_792_800_000):  # 2026-03-28 and 2026-10-24
        store = Store(Policy(hourly=1000), now=day)
        store.look()
        assert len(store.go(3 * DAY, every=600)) == 72


def test_of_each_kind_the_newest_stay() -> None:
    store = Store(Policy(hourly=24, daily=30, weekly=8), now=MONDAY)
    store.go(100 * DAY, every=600)
    assert [len(store.kept(kind)) for kind in PERIOD_SECONDS] == [24, 30, 8]
    assert store.kept("hourly")[-1] == "auto-hourly-2027-03-10T00-00-00"
    assert store.kept("daily")[0] == "auto-daily-2027-02-09T00-00-00"
    assert store.kept("weekly")[0] == "auto-weekly-2027-01-18T00-00-00"


def test_counts_that_were_lowered_and_kinds_that_are_not_wanted_any_more() -> None:
    store = Store(Policy(hourly=24, daily=30))
    store.go(3 * DAY, every=600)
    store.policy = Policy(hourly=2, weekly=1)
    deleted = store.look().delete
    assert len(deleted) == 22 + 4
    assert len(store.kept("hourly")) == 2
    assert store.kept("daily") == []
    store.policy = Policy()
    assert store.look() == Plan([], [])
    assert len(store.kept("hourly")) == 2, "none: nothing is taken, nothing goes"


def test_what_a_policy_has_not_made_never_goes() -> None:
    store = Store(Policy(hourly=1))
    store.add("mine", automatic=False)
    store.add("auto-hourly-2001-01-01T00-00-00", automatic=False)
    store.add("before-rollback-2026-11-30T00-00-00")
    store.add("auto-hourly-renamed")
    store.go(5 * HOUR)
    assert [made.name for made in store.made][:4] == [
        "mine",
        "auto-hourly-2001-01-01T00-00-00",
        "before-rollback-2026-11-30T00-00-00",
        "auto-hourly-renamed",
    ]
    assert len(store.made) == 5


def test_when_nothing_changes_one_stands_for_all_the_time() -> None:
    store = Store(Policy(hourly=3, daily=3))
    store.look()
    assert store.go(30 * DAY, every=600, change=lambda: False) == []
    assert len(store.made) == 2
    store.state += 1
    assert store.go(HOUR, every=600) == ["auto-hourly-2026-12-30T01-00-00"], (
        "with the next hour, not amid one"
    )
    assert store.go(DAY, every=600)[-1].startswith("auto-hourly-2026-12-31T01")
    assert "auto-daily-2026-12-31T00-00-00" in store.kept("daily")


def test_a_quiet_day_keeps_its_daily_one_when_the_hourly_ones_have_had_their_time() -> None:
    """What changed at noon and not until midnight: the day's last state must outlive the hours after it."""
    store = Store(Policy(hourly=2, daily=5))
    store.go(12 * HOUR, every=600)
    noon = store.state
    store.go(12 * HOUR, every=600, change=lambda: False)
    store.go(2 * DAY, every=600)
    assert noon in {store.states[name] for name in store.kept("daily")}
    assert noon not in {store.states[name] for name in store.kept("hourly")}


def test_a_machine_that_slept_takes_one_for_all_that_it_missed() -> None:
    store = Store(Policy(hourly=24, daily=7, weekly=2))
    store.look()
    store.now += 10 * DAY + 1000
    store.state += 1
    made = store.look().create
    assert sorted(filter(None, map(kind_of, made))) == ["daily", "hourly", "weekly"]
    store.now += 60
    store.state += 1
    assert store.look() == Plan([], [])


def test_after_a_new_mount_what_was_missed_is_taken_if_anything_has_changed() -> None:
    store = Store(Policy(hourly=24))
    store.look()
    store.now += 5 * HOUR
    store.looked = None  # another daemon
    assert store.look().create == []
    store.now += 100
    store.looked = None
    store.state += 1
    assert len(store.look().create) == 1


def test_a_clock_that_was_years_ahead_stops_nothing() -> None:
    store = Store(Policy(hourly=4), now=MONDAY + 12 * 365 * DAY)
    store.go(5 * HOUR)
    ahead = store.kept("hourly")
    store.now = MONDAY
    made = store.go(3 * HOUR)
    assert len(made) == 4, "one at once, then each hour"
    assert store.kept("hourly") == made
    assert not set(ahead) & set(store.kept("hourly"))


def test_a_clock_that_is_put_back_makes_none_twice() -> None:
    store = Store(Policy(hourly=24))
    store.go(5 * HOUR)
    before = store.kept("hourly")
    store.now -= 90 * 60
    assert store.go(90 * 60) == []
    assert store.kept("hourly") == before
    assert len(store.go(HOUR)) == 1


def test_names_are_free() -> None:
    store = Store(Policy(hourly=5))
    store.add("auto-hourly-2026-11-30T00-00-00", automatic=False)
    assert store.look().create == ["auto-hourly-2026-11-30T00-00-00-2"]
    assert kind_of("auto-hourly-2026-11-30T00-00-00-2") == "hourly"


def test_thousands() -> None:
    store = Store(Policy(hourly=MOST_KEPT, daily=10, weekly=10))
    store.made = [
        Made(f"auto-hourly-{number}", (MONDAY - HOUR * (20_000 - number)) * SECOND, automatic=True)
        for number in range(20_000)
    ]
    store.states = {made.name: number for number, made in enumerate(store.made)}
    wanted = store.look()
    assert len(wanted.create) == 3
    assert wanted.delete == [f"auto-hourly-{number}" for number in range(10_001)]
    assert len(store.kept("hourly")) == MOST_KEPT


@settings(max_examples=150)
@given(
    st.integers(0, 2**32),
    st.builds(Policy, st.integers(0, 5), st.integers(0, 4), st.integers(0, 3)),
    st.lists(
        st.one_of(
            st.integers(1, 3 * DAY),  # time passes
            st.integers(-2 * DAY, -1),  # the clock is put back
            st.just(0),  # something changes
            st.just(None),  # another daemon
            st.builds(Policy, st.integers(0, 5), st.integers(0, 4), st.integers(0, 3)),
        ),
        max_size=60,
    ),
)
def test_whatever_happens(seed: int, policy: Policy, steps: list[int | Policy | None]) -> None:
    store = Store(policy, now=MONDAY + random.Random(seed).randrange(7 * DAY))
    store.add("mine", automatic=False)
    for step in steps:
        if isinstance(step, Policy):
            store.policy = step
        elif step is None:
            store.looked = None
        elif step == 0:
            store.state += 1
        else:
            store.now += step
        before = {kind: store.kept(kind) for kind in PERIOD_SECONDS}
        wanted = store.look()
        assert "mine" in store.states
        assert store.made[0].name == "mine"
        for kind, count in store.policy._asdict().items():
            made = [name for name in wanted.create if kind_of(name) == kind]
            assert len(made) <= 1
            if not any(store.policy):
                assert store.kept(kind) == before[kind]
                continue
            assert store.kept(kind) == (before[kind] + made)[-count:] if count else not store.kept(kind)
            if made and before[kind]:
                assert store.states[made[0]] != store.states[before[kind][-1]], "nothing had changed"
            if count:
                assert store.kept(kind), "there is always one"
        again = plan(store.policy, store.made, store.now * SECOND, lambda name: True, store.looked)
        assert again == Plan([], []), "carried out is carried out"
