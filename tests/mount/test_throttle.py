"""Writers that are slowed down wait in one line."""

import trio
import trio.testing

from vfs.mount.throttle import Throttle


async def test_many_at_once_pass_one_after_the_other(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle()
    passed: list[tuple[int, float]] = []
    begin = trio.current_time()

    async def write(number: int) -> None:
        await throttle.hold(0.5)
        passed.append((number, trio.current_time() - begin))

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(write, number)
            await trio.testing.wait_all_tasks_blocked()
    assert passed == [(number, 0.5 * (number + 1)) for number in range(12)]


async def test_who_comes_later_waits_only_for_himself(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle()
    await throttle.hold(1.0)
    await trio.sleep(100)
    begin = trio.current_time()
    await throttle.hold(0.25)
    assert trio.current_time() - begin == 0.25
