"""Who waits to be committed: within bounds, first come first served, each stream in its order."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import Overloaded
from rankspace.store.drafts import Batch
from services.local.config import EngineConfig
from services.local.queueing import Queue, Waiting


def waiting(stream: str = "s", size: int = 0, samples: int = 1) -> Waiting:
    """An append that is not ready yet."""
    answer = asyncio.get_running_loop().create_future()
    return Waiting(stream, size, samples, answer)


def batch(one: Waiting) -> Batch:
    """What is to be committed."""
    return Batch(one.stream, None, ())


def groups(queue: Queue) -> list[list[Waiting]]:
    """All groups until the queue has ended."""
    found = []
    while group := queue.group():
        found.append(group)
    return found


calls = st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(1, 9))


@given(st.lists(calls, max_size=12), st.data())
def test_groups_are_within_bounds_and_nothing_passes_an_append_to_its_stream(
    drawn: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(drawn))))
    given_up = data.draw(st.sets(st.integers(0, 12)))

    async def play() -> None:
        queue = Queue(EngineConfig(commit_bytes_max=16, commit_samples_max=12))
        queued = [waiting(*call) for call in drawn]
        for one in queued:
            queue.add(one)
        taking = asyncio.create_task(asyncio.to_thread(groups, queue))
        for at in order:
            queue.ready(queued[at], None if at in given_up else batch(queued[at]))
        kept = [one for at, one in enumerate(queued) if at not in given_up]
        for one in kept:
            queue.leave(one)
        await queue.emptied()
        taken = await taking
        for group in taken:
            if len(group) > 1:
                assert sum(one.size for one in group) <= 16
                assert sum(one.samples for one in group) <= 12
        found = [one for group in taken for one in group]
        for name in "abc":
            mine = [one for one in kept if one.stream == name]
            assert [one for one in found if one.stream == name] == mine
        assert len(found) == len(kept)
        assert len(queue) == 0

    asyncio.run(play())


async def test_what_is_not_ready_holds_up_its_own_stream_only() -> None:
    queue = Queue(EngineConfig())
    slow, behind, other = waiting("a"), waiting("a"), waiting("b")
    for one in (slow, behind, other):
        queue.add(one)
    queue.ready(behind, batch(behind))
    queue.ready(other, batch(other))
    assert queue.group() == [other]
    queue.ready(slow, batch(slow))
    assert queue.group() == [slow, behind]


@pytest.mark.parametrize("limit", ["commit_queue_max", "commit_queue_bytes_max"])
async def test_the_queue_is_bounded_in_appends_and_in_bytes(limit: str) -> None:
    queue = Queue(EngineConfig.model_validate({limit: 2, "commit_wait_s": 0.05}))
    inside = [waiting(size=1), waiting(size=1)]
    for one in inside:
        await queue.enter(one.size)
        queue.add(one)
    with pytest.raises(Overloaded, match="too much"):
        await queue.enter(1)
    coming = asyncio.create_task(queue.enter(1))
    await asyncio.sleep(0)
    queue.leave(inside[0])
    await coming


async def test_an_append_larger_than_the_bound_goes_in_alone() -> None:
    queue = Queue(EngineConfig(commit_queue_bytes_max=4, commit_wait_s=0.05))
    large = waiting(size=9)
    await queue.enter(large.size)
    queue.add(large)
    with pytest.raises(Overloaded):
        await queue.enter(0)
    queue.ready(large, batch(large))
    assert queue.group() == [large]
    queue.leave(large)
    await queue.enter(9)
