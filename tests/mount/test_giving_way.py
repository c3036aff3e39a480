"""A pass of the packer gives way to clients: on simulated time."""

import pytest

from vfs.mount.giving_way import LONGEST_SECONDS, REST, GivingWay

PIECE_SECONDS = 0.002


class Machine:
    """A clock, an owner's thread that answers requests for some share of the time, and a pass beside it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.owner_had = 5.0
        self.busy = 0.0
        self.leisure = 1.0
        self.longest = 0.0
        self.way = GivingWay(
            lambda: self.owner_had, lambda: self.leisure, clock=lambda: self.now, sleep=self._sleep
        )

    def _pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.owner_had += seconds * self.busy

    def _sleep(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        self._pass_time(seconds)

    def work(self, pieces: int) -> float:
        """The share of the time in which the pass works."""
        begin, rested = self.now, 0.0
        for _ in range(pieces):
            self._pass_time(PIECE_SECONDS)
            rested += self.way.step()
        assert rested == pytest.approx(self.now - begin - pieces * PIECE_SECONDS, abs=1e-6)
        return pieces * PIECE_SECONDS / (self.now - begin)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_it_goes_on_and_on_when_nobody_asks(machine: Machine) -> None:
    machine.busy = 0.005  # a commit now and then
    assert machine.work(1000) == pytest.approx(1.0)


def test_it_works_a_small_part_of_the_time_beside_busy_clients(machine: Machine) -> None:
    machine.busy = 1.0
    assert machine.work(1000) == pytest.approx(1 / (1 + REST), rel=0.01)
    machine.busy = 0.25
    assert machine.work(1000) == pytest.approx(1 / (1 + REST / 4), rel=0.05)


def test_it_is_quick_again_soon_after_clients_have_left(machine: Machine) -> None:
    machine.busy = 1.0
    machine.work(100)
    machine.busy = 0.0
    begin = machine.now
    machine.work(100)
    assert machine.now - begin < 100 * PIECE_SECONDS + 2 * LONGEST_SECONDS


def test_it_does_not_give_way_when_much_waits_or_somebody_waits_for_it(machine: Machine) -> None:
    machine.busy = 1.0
    machine.leisure = 0.0
    assert machine.work(1000) == pytest.approx(1.0)
    machine.leisure = 0.5
    assert machine.work(1000) == pytest.approx(1 / (1 + REST / 2), rel=0.01)


def test_a_long_piece_has_no_long_rest(machine: Machine) -> None:
    machine.busy = 1.0
    machine._pass_time(3.0)
    machine.way.step()
    assert machine.longest == LONGEST_SECONDS


def test_small_pieces_are_put_together(machine: Machine) -> None:
    machine.busy = 1.0
    for _ in range(10):
        machine._pass_time(0.00005)
        assert machine.way.step() == 0.0
    for _ in range(11):
        machine._pass_time(0.00005)
        machine.way.step()
    assert machine.longest == pytest.approx(0.001 * REST, rel=0.1)
