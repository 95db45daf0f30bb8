"""Credits: never more is held than there is, who comes first goes first, nobody is forgotten."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.ingestion.credits import Credits


class Crowd:
    """Takers that come in order; who holds what, and who was served when."""

    def __init__(self, sizes: list[int], most: tuple[int, int]) -> None:
        self.sizes, self.most = sizes, most
        self.pot = Credits(*most)
        self.held: list[int] = []
        self.served: list[int] = []
        self.cancelled: set[int] = set()
        self.tasks = [asyncio.create_task(self._take(name)) for name in range(len(sizes))]

    async def _take(self, name: int) -> None:
        await self.pot.take(self.sizes[name])
        self.held.append(name)
        self.served.append(name)

    async def settle(self) -> None:
        """Let everybody move, then look at the law."""
        for _ in range(4):
            await asyncio.sleep(0)
        size = sum(self.sizes[name] for name in self.held)
        assert len(self.held) <= 1 or (size <= self.most[0] and len(self.held) <= self.most[1])

    def give(self, at: int) -> None:
        self.pot.give(self.sizes[self.held.pop(at % len(self.held))])

    def cancel(self, name: int) -> None:
        if name < len(self.tasks) and not self.tasks[name].done():
            self.tasks[name].cancel()
            self.cancelled.add(name)


@given(
    sizes=st.lists(st.integers(1, 12), max_size=12),
    most=st.tuples(st.integers(1, 20), st.integers(1, 4)),
    acts=st.lists(st.tuples(st.booleans(), st.integers(0, 11)), max_size=30),
)
def test_no_more_is_held_than_there_is_and_the_first_come_are_the_first_served(
    sizes: list[int], most: tuple[int, int], acts: list[tuple[bool, int]]
) -> None:
    """At random somebody gives back or, before being served, is cancelled."""

    async def history() -> None:
        crowd = Crowd(sizes, most)
        for gives, at in acts:
            await crowd.settle()
            if not gives:
                crowd.cancel(at)
            elif crowd.held:
                crowd.give(at)
        await crowd.settle()
        while crowd.held:
            crowd.give(0)
            await crowd.settle()
        await asyncio.gather(*crowd.tasks, return_exceptions=True)
        assert crowd.served == sorted(set(range(len(sizes))) - crowd.cancelled)

    asyncio.run(history())


async def test_who_is_cancelled_as_it_is_served_gives_back() -> None:
    pot = Credits(10, 1)
    await pot.take(5)
    waiting = asyncio.create_task(pot.take(5))
    await asyncio.sleep(0)
    pot.give(5)  # the turn is the other's now, but it has not run since
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1):
        await pot.take(10)


async def test_a_message_larger_than_all_there_is_comes_alone() -> None:
    pot = Credits(10, 4)
    await pot.take(50)
    other = asyncio.create_task(pot.take(1))
    await asyncio.sleep(0)
    assert not other.done()
    pot.give(50)
    async with asyncio.timeout(1):
        await other
