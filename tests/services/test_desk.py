"""Work on the event loop: every step once and in order, the loop never kept from its turn."""

import asyncio
import time
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from services.desk import SLICE_S, Desk


def busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def working(steps: int, seconds: float) -> Iterator[None]:
    for _ in range(steps):
        busy(seconds)
        yield


@given(sizes=st.lists(st.integers(0, 30), max_size=8), slow=st.booleans())
def test_each_work_is_done_whole_and_in_order_whoever_else_is_there(
    sizes: list[int], slow: bool
) -> None:
    desk = Desk()
    done: list[tuple[int, int]] = []

    def steps(who: int, size: int) -> Iterator[None]:
        for at in range(size):
            done.append((who, at))
            busy(SLICE_S / 20 * slow)
            yield

    async def all_of_them() -> None:
        await asyncio.gather(*(desk.through(steps(*one)) for one in enumerate(sizes)))

    asyncio.run(all_of_them())
    assert done == [(who, at) for who, size in enumerate(sizes) for at in range(size)]


async def test_the_loop_has_its_turn_between_slices_whoever_they_are_for() -> None:
    desk, turns = Desk(), 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    calls, steps = 5, 20
    await asyncio.gather(*(desk.through(working(steps, SLICE_S / 2)) for _ in range(calls)))
    counting.cancel()
    assert turns >= calls * steps / 3  # a slice ends with the step that fills it


async def test_who_goes_away_in_the_middle_leaves_the_desk_to_the_next() -> None:
    desk = Desk()
    first = asyncio.create_task(desk.through(working(1000, 2 * SLICE_S)))
    second = asyncio.create_task(desk.through(working(3, 0)))
    await asyncio.sleep(0.01)
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert first.cancelled()
