"""Writers that are slowed down wait in one line."""

import pytest
import trio
import trio.testing

from vfs.mount.throttle import Throttle


@pytest.mark.parametrize("most", [100.0, 2.0])
async def test_many_at_once_pass_one_after_the_other(
    autojump_clock: trio.testing.MockClock, most: float
) -> None:
    """But no later than it can be of use, and then all of them in their order."""
    throttle = Throttle()
    passed: list[tuple[int, float]] = []
    begin = trio.current_time()

    async def write(number: int) -> None:
        await throttle.hold(0.5, most)
        passed.append((number, trio.current_time() - begin))

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(write, number)
            await trio.testing.wait_all_tasks_blocked()
    assert passed == [(number, min(0.5 * (number + 1), most)) for number in range(12)]


async def test_who_comes_later_waits_only_for_himself(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle()
    await throttle.hold(1.0, 100.0)
    await trio.sleep(100)
    begin = trio.current_time()
    await throttle.hold(0.25, 100.0)
    assert trio.current_time() - begin == 0.25


async def test_what_is_of_use_gets_less_while_others_wait(autojump_clock: trio.testing.MockClock) -> None:
    """Packing has caught up: whoever comes now waits for those before him alone."""
    throttle = Throttle()
    passed: list[str] = []

    async def write(name: str, most: float) -> None:
        await throttle.hold(1.0, most)
        passed.append(f"{name} {trio.current_time() - begin}")

    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        for name, most in (("one", 5.0), ("two", 5.0), ("three", 0.5)):
            nursery.start_soon(write, name, most)
            await trio.testing.wait_all_tasks_blocked()
    assert passed == ["one 1.0", "two 2.0", "three 2.0"]
