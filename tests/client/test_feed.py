"""The feed: all that is put comes out in order, in bounded pieces, and its source's error last."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.client.feed import FEED_BYTES, Feed
from rankspace.errors import LimitExceeded
from rankspace.media.sample import Part, Sample
from rankspace.v1 import media_pb2


def samples(sizes: list[int]) -> list[Sample]:
    return [Sample(str(n), (Part("text", b"x" * size),)) for n, size in enumerate(sizes)]


async def drained(feed: Feed, samples_max: int, part: int) -> list[list[str]]:
    taken = []
    while batch := await feed.take(samples_max, 1 << 20, part):
        assert len(batch) <= samples_max
        assert all(isinstance(message, media_pb2.Sample) for message in batch)
        assert len(batch) == 1 or sum(sample.ByteSize() for sample in batch) <= part
        taken.append([m.sample_id for m in batch if isinstance(m, media_pb2.Sample)])
    return taken


@given(
    sizes=st.lists(st.integers(0, 50)),
    samples_max=st.integers(1, 9),
    part=st.integers(1, 200),
    asynchronous=st.booleans(),
)
def test_what_is_poured_in_comes_out_in_order(
    sizes: list[int], samples_max: int, part: int, asynchronous: bool
) -> None:
    async def each() -> AsyncIterator[Sample]:
        for sample in samples(sizes):
            await asyncio.sleep(0)
            yield sample

    async def run() -> list[list[str]]:
        feed = Feed()
        pouring = asyncio.create_task(feed.pour(each() if asynchronous else samples(sizes)))
        taken = await drained(feed, samples_max, part)
        await pouring
        return taken

    taken = asyncio.run(run())
    assert [name for batch in taken for name in batch] == [str(n) for n in range(len(sizes))]


async def test_a_slow_source_is_not_held_back_until_a_batch_is_full() -> None:
    feed = Feed()
    await feed.put(samples([1])[0])
    assert len(await asyncio.wait_for(feed.take(256, 1 << 20, 1 << 20), 1)) == 1


async def test_a_fast_source_waits_when_enough_is_waiting() -> None:
    feed = Feed()
    pouring = asyncio.create_task(feed.pour(samples([FEED_BYTES // 2] * 4)))
    await asyncio.sleep(0.01)
    assert len(feed._waiting) == 2
    await feed.take(2, FEED_BYTES, FEED_BYTES)
    await asyncio.sleep(0.01)
    assert len(feed._waiting) >= 2
    pouring.cancel()


async def test_a_source_s_own_error_comes_after_what_it_gave() -> None:
    def broken() -> Iterator[Sample]:
        yield from samples([1, 1])
        raise ZeroDivisionError

    feed = Feed()
    pouring = asyncio.create_task(feed.pour(broken()))
    assert len(await feed.take(9, 99, 99)) == 2
    with pytest.raises(ZeroDivisionError):
        await feed.take(9, 99, 99)
    with pytest.raises(ZeroDivisionError):
        await pouring


async def test_a_sample_too_large_for_a_message_is_named() -> None:
    feed = Feed()
    await feed.put(Sample("huge", (Part("text", b"x" * 100),)))
    with pytest.raises(LimitExceeded, match="sample huge has"):
        await feed.take(1, 50, 50)
