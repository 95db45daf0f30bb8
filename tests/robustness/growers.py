"""Clients whose media grow: any cutting, sent again, mixed, broken off, and ended by another.

All of them write the same stream, as twins do, so a sound that one has begun another goes on with.
A sound of one's own (`private`) is not named by any batch: with it one may do what is wrong.
"""

import asyncio
import random

from rankspace.store.growing import Abandon, Begin, Chunk, Head
from tests.robustness.appending import Appending, begin, end, sound
from tests.robustness.calls import Caller, Ended
from tests.robustness.contents import SOUNDING, twin_name

Chance = random.Random
CHUNK_MAX = 2500


async def grow(caller: Caller, stream: str, chance: Chance) -> None:
    """Record over one call after the other, for ever."""
    private = 0
    while True:
        appending = Appending(caller, stream)
        try:
            at, _ = await appending.open()
            for _ in range(chance.randint(1, 8)):
                if chance.random() < 0.15:
                    private += 1
                    await _private(appending, f"{caller.name}.{private}", chance)
                at = await _record(appending, stream, at, chance)
        except Ended:
            await asyncio.sleep(0.1)
        finally:
            await appending.close()


async def _record(appending: Appending, stream: str, at: int, chance: Chance) -> int:
    """Let the sounds of the next few samples grow, then name them; the next offset."""
    if chance.random() < 0.15:
        at = max(0, at - chance.randint(1, 4))
    names = [twin_name(stream, at + step) for step in range(chance.randint(1, 3))]
    grown = [name for name in names if name[-1] in SOUNDING and chance.random() < 0.8]
    if chance.random() < 0.06:  # before they have ended, or even begun
        await appending.send(at, names, grown)
        await appending.hear()
    await _pieces(appending, grown, chance)
    if chance.random() < 0.06:
        raise Ended  # hang up with media that nobody names yet
    await appending.send(at, names, grown)
    if chance.random() < 0.1:
        await appending.send(at, names, grown)
        await appending.hear()
    return await appending.hear()


async def _pieces(appending: Appending, names: list[str], chance: Chance) -> None:
    """Send all of some sounds, a piece of this one, a piece of that one. Raises Ended."""
    at = {name: appending.media.get(name, -1) for name in names}
    while at:
        name = chance.choice(list(at))
        if at[name] < 0:
            await appending.grow(begin(name))
        elif at[name] >= len(sound(name)):
            await appending.grow(end(name))
            del at[name]
            await appending.hear()
            continue
        else:
            await appending.grow(_chunk(name, at[name], chance))
        at[name] = await appending.hear()
        if chance.random() < 0.02:
            raise Ended  # hang up midway


def _chunk(name: str, at: int, chance: Chance) -> Chunk:
    """The next bytes of a sound; now and then some again, or too far on."""
    how = chance.random()
    if how < 0.2:
        at = max(0, at - chance.randint(1, CHUNK_MAX))
    elif how < 0.25:
        at = min(at + chance.randint(1, 50), len(sound(name)) - 1)
    return Chunk(name, at, sound(name)[at : at + chance.randint(1, CHUNK_MAX)])


async def _private(appending: Appending, name: str, chance: Chance) -> None:
    """Begin a sound, say other bytes where there are some, and give it up. Raises Ended."""
    data = chance.randbytes(chance.randint(10, 500))
    await appending.grow(Begin(name, Head("audio", "pcm_s16le", "", 16_000, 1)))
    await appending.grow(Chunk(name, 0, data))
    await appending.grow(Chunk(name, 0, data[:-1] + bytes([data[-1] ^ 1])), other=True)
    await appending.grow(Abandon(name))
    await appending.grow(Chunk(name, len(data), data))
    for _ in range(5):
        await appending.hear()
