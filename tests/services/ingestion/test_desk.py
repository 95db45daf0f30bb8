"""Work on the event loop: every item once and in order, the loop never kept from its turn."""

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from services.ingestion.desk import SLICE_S, Desk


def busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


@given(sizes=st.lists(st.integers(0, 30), max_size=8), cut=st.booleans())
def test_each_batch_comes_whole_and_in_order_whoever_else_is_there(
    sizes: list[int], cut: bool
) -> None:
    desk = Desk()
    seen: list[tuple[int, int]] = []

    def work(item: tuple[int, int]) -> int:
        seen.append(item)
        if cut:
            busy(SLICE_S / 20)
        return -item[1]

    async def all_of_them() -> list[list[int]]:
        batches = [[(who, at) for at in range(size)] for who, size in enumerate(sizes)]
        return list(await asyncio.gather(*(desk.each(work, batch) for batch in batches)))

    assert asyncio.run(all_of_them()) == [[-at for at in range(size)] for size in sizes]
    assert seen == [(who, at) for who, size in enumerate(sizes) for at in range(size)]


async def test_the_loop_has_its_turn_between_slices_of_many_batches() -> None:
    desk, turns = Desk(), 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    items = 20
    await asyncio.gather(*(desk.each(lambda _: busy(SLICE_S / 2), range(items)) for _ in range(5)))
    counting.cancel()
    assert turns >= 5 * items / 3  # a slice ends with the item that fills it


async def test_who_goes_away_in_the_middle_leaves_the_desk_to_the_next() -> None:
    desk = Desk()
    first = asyncio.create_task(desk.each(lambda _: busy(2 * SLICE_S), range(1000)))
    second = asyncio.create_task(desk.each(str, range(3)))
    await asyncio.sleep(0.01)
    first.cancel()
    async with asyncio.timeout(5):
        assert await second == ["0", "1", "2"]
    assert first.cancelled()
