"""Who waits to be committed: within bounds, first come first served, each stream in its order."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import Overloaded
from rankspace.store.drafts import Batch
from services.local.config import EngineConfig
from services.local.queueing import Queue, Waiting


def waiting(stream: str = "s", size: int = 0, samples: int = 1, ready: bool = True) -> Waiting:
    """An append that is ready, or not yet."""
    answer = asyncio.get_running_loop().create_future()
    return Waiting(stream, size, samples, answer, Batch(stream, None, ()) if ready else None)


def taken(queue: Queue) -> list[Waiting]:
    """All groups that there are, one after the other, each within the bounds."""
    found: list[Waiting] = []
    while group := queue.group():
        if len(group) > 1:
            assert sum(one.size for one in group) <= 16
            assert sum(one.samples for one in group) <= 12
        found += group
    return found


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(1, 9), st.booleans()),
        max_size=12,
    )
)
def test_groups_are_within_bounds_and_nothing_passes_an_append_to_its_stream(
    calls: list[tuple[str, int, int, bool]],
) -> None:
    async def play() -> None:
        queue = Queue(EngineConfig(commit_bytes_max=16, commit_samples_max=12))
        queued = [waiting(*call) for call in calls]
        for one in queued:
            queue.add(one)
        found = taken(queue)
        for name in "abc":
            mine = [one for one in queued if one.stream == name]
            first = next((at for at, one in enumerate(mine) if one.batch is None), len(mine))
            assert [one for one in found if one.stream == name] == mine[:first]
        for one in queued:
            one.batch = one.batch or Batch(one.stream, None, ())
        found += taken(queue)
        assert len(found) == len(queued)
        for one in found:
            queue.leave(one)
        assert list(queue) == []

    asyncio.run(play())


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
    assert queue.group() == [large]
    queue.leave(large)
    await queue.enter(9)
