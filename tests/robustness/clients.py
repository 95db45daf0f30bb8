"""Random clients: writers that misbehave in every way a network or a person can, and readers.

    twins    several write the same samples to the same offsets: resent, cut anew, out of order
    rivals   each writes samples of its own at the next offset, taking the stream over at times
    plain    append at the end, wherever that is
    sdk      appends and reads with the SDK, which goes on by itself
    readers  look, read and follow
    echo     what the network delivers late, twice or out of order
    insister asks for what was written to be synced

A twin's sample is told by its stream and offset alone, so all of them agree on what goes where.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count

from rankspace.client import AsyncClient
from rankspace.client.appending import AppendSummary
from rankspace.errors import RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.entries import Rejected
from rankspace.v1.ingestion_pb2 import DURABILITY_SYNCED
from tests.robustness.appending import Appending
from tests.robustness.calls import Caller, Ended
from tests.robustness.contents import KINDS, key, key_of, sample, twin_name
from tests.robustness.history import now

Chance = random.Random
Cutting = tuple[int | None, list[str]]
"""A batch to send: its offset and the names of its samples."""


def twin(stream: str, chance: Chance, honest: bool = False) -> Callable[[int], Cutting]:
    """Cuts batches of what every twin writes, mostly where it has come to.

    An honest one never sends other content: where a stream may lose its end, or has not come as
    far as this twin has sent, it would be taken.
    """

    def cut(at: int) -> Cutting:
        how, length = chance.random(), chance.randint(1, 6)
        if how < 0.2:  # again, cut anew
            at = max(0, at - chance.randint(1, 12))
        elif how < 0.26:
            at += chance.randint(1, 3)  # a gap, or ahead of another twin
        names = [twin_name(stream, offset) for offset in range(at, at + length)]
        if how > 0.95 and at > length and not honest:  # other content where there is some already
            at -= length
            names[0] = f"{stream}.other.{chance.getrandbits(32)}.t"
        return at, names

    return cut


def own(writer: str, chance: Chance, places: bool, kinds: str = KINDS) -> Callable[[int], Cutting]:
    """Cuts batches of samples that nobody else writes; `places`: with their offset.

    With offsets the last one may come again, for it may not have been answered.
    """
    numbers = count()
    last: tuple[int, list[str]] | None = None

    def cut(at: int) -> Cutting:
        nonlocal last
        if last is not None and chance.random() < 0.25:
            return last
        names = [
            f"{writer}.{next(numbers)}.{chance.choice(kinds)}" for _ in range(chance.randint(1, 5))
        ]
        last = (at, names) if places else None
        return at if places else None, names

    return cut


async def write(
    caller: Caller,
    stream: str,
    cut: Callable[[int], Cutting],
    chance: Chance,
    durabilities: Sequence[int] = (0,),
) -> None:
    """Write over one call after the other, for ever; some of them take the stream over."""
    claims = caller.name.startswith("rival")
    epoch = 0
    while True:
        appending = Appending(caller, stream, chance.choice(durabilities))
        try:
            takes = claims and chance.random() < 0.3
            at, epoch = await appending.open(0 if takes else epoch, takes)
            for _ in range(chance.randint(1, 12)):
                at = await _burst(appending, at, cut, chance)
                await asyncio.sleep(chance.random() * 0.02)
        except Ended:
            epoch = 0 if chance.random() < 0.5 else epoch
            await asyncio.sleep(0.1)
        finally:
            await appending.close()


async def _burst(
    appending: Appending, at: int, cut: Callable[[int], Cutting], chance: Chance
) -> int:
    """Send a few batches at once, hear their answers; the next offset."""
    sent = 0
    for _ in range(chance.randint(1, 4)):
        offset, names = cut(at)
        repeats = 2 if chance.random() < 0.1 and offset is not None else 1
        for _ in range(repeats):
            await appending.send(offset, names)
            sent += 1
        at = offset + len(names) if offset is not None else at
    if chance.random() < 0.05:
        raise Ended  # hang up before the answers come
    for _ in range(sent):
        at = await appending.hear()
    return at


async def read(caller: Caller, streams: list[str], chance: Chance) -> None:
    """Look, read from anywhere, follow for a while; for ever."""
    known: dict[str, int] = dict.fromkeys(streams, 0)
    while True:
        stream, how = chance.choice(streams), chance.random()
        start = chance.randint(max(0, known[stream] - 40), known[stream] + 2)
        if how < 0.4:
            await asyncio.sleep(0 if await caller.figures("look", stream) else 0.2)
        elif how < 0.75:
            limit = chance.choice([0, 0, chance.randint(1, 30)])
            known[stream], _ = await caller.read(stream, start, limit)
        else:
            known[stream], _ = await caller.read(stream, start, 0, follow_s=0.5 + chance.random())
        await asyncio.sleep(0.02 + chance.random() * 0.05)


async def follow(caller: Caller, stream: str) -> None:
    """Follow a stream from its beginning, for ever; where a call ends, another goes on."""
    at = 0
    while True:
        at, _ = await caller.read(stream, at, follow_s=60)
        await asyncio.sleep(0.1)


async def echo(caller: Caller, chance: Chance) -> None:
    """Deliver batches of others once more, later and in any order, for ever.

    Within a connection nothing can be reordered, but a network may deliver what was sent over one
    connection after what was sent over the next: a batch that was given up, that of a writer whose
    epoch is over, a whole call again.
    """
    while True:
        await asyncio.sleep(0.05 + chance.random() * 0.3)
        sent = list(caller.recorder.sent)
        if not sent:
            continue
        one = chance.choice(sent)
        same = [past for past in sent if (past.stream, past.epoch) == (one.stream, one.epoch)]
        some = chance.sample(same, min(len(same), chance.randint(1, 5)))
        appending = Appending(caller, one.stream)
        try:
            await appending.open(one.epoch)
            for past in some:
                await appending.send(past.offset, past.names)
            for _ in some:
                await appending.hear()
        except Ended:
            await asyncio.sleep(0.1)
        finally:
            await appending.close()


async def insist(caller: Caller, stream: str, chance: Chance) -> None:
    """Send again as synced what may only have been written, for ever; twins write the stream."""
    while True:
        appending = Appending(caller, stream, DURABILITY_SYNCED)
        try:
            at, _ = await appending.open()
            first = max(0, at - chance.randint(1, 5))
            if first < at:
                await appending.send(first, [twin_name(stream, one) for one in range(first, at)])
                await appending.hear()
        except Ended:
            await asyncio.sleep(0.1)
        finally:
            await appending.close()
        await asyncio.sleep(0.01)


async def close_midway(caller: Caller, stream: str, after_s: float) -> None:
    """Finalize a stream, and make sure of it."""
    await asyncio.sleep(after_s)
    finalized = False
    while not finalized:
        finalized = await caller.figures("finalize", stream)
        await asyncio.sleep(0.1)


async def use_sdk(caller: Caller, stream: str, chance: Chance) -> None:
    """Append and read with the SDK, on a stream of its own; for ever."""
    async with AsyncClient(f"127.0.0.1:{caller.port}", timeout_s=3.0, patience_s=120.0) as client:
        at = 0
        while True:
            first, stop = max(0, at - chance.randint(0, 4)), at + chance.randint(1, 60)
            try:
                await _append_by_sdk(client, caller, stream, (first, at, stop))
                at = stop
                await _read_by_sdk(client, caller, stream, max(0, at - 50))
            except RankspaceError as error:
                caller.note("look", stream, now(), outcome="refused", reason=error.reason())
                await asyncio.sleep(0.1)


async def _append_by_sdk(
    client: AsyncClient, caller: Caller, stream: str, places: tuple[int, int, int]
) -> None:
    """Append [first, stop), of which [first, known) is there already."""
    first, known, stop = places
    began, at = now(), first

    async def samples() -> AsyncIterator[Sample]:
        for offset in range(first, stop):
            await asyncio.sleep(0.002)
            yield sample(twin_name(stream, offset))

    def progress(so_far: AppendSummary) -> None:
        nonlocal at
        keys = tuple(key_of(twin_name(stream, offset)) for offset in range(at, so_far.next_offset))
        # What the SDK sent again by itself is the same operation, so it was new all the same.
        said = {"offset": at, "first": at, "keys": keys, "duplicate": so_far.next_offset <= known}
        caller.note("append", stream, began, next=so_far.next_offset, **said)
        at = so_far.next_offset

    try:
        await client.append(stream, samples(), offset=first, progress=progress)
    finally:
        for offset in range(at, stop):
            keys = (key_of(twin_name(stream, offset)),)
            caller.note("append", stream, began, offset=offset, keys=keys, outcome="unknown")


async def _read_by_sdk(client: AsyncClient, caller: Caller, stream: str, start: int) -> None:
    began, keys = now(), list[str]()
    async for offset, entry in client.read_entries(stream, start):
        found = key_of(entry.sample_id) if isinstance(entry, Rejected) else key(entry)
        keys.append(found if offset == start + len(keys) else f"at {offset}")
    stop = start + len(keys) if keys else -1
    caller.note("read", stream, began, offset=start, keys=tuple(keys), next=stop, whole=True)
