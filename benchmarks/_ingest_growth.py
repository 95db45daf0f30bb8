"""Does a sample cost more when the stream is long? A store of each size, measured in turn.

Each store has one stream, filled through the library up to its size. A server is started on each,
and all get the same few batches over the wire, round after round, so that drift hits all alike; the
medians of the rounds are compared.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks._ingest_lanes import Grpc
from benchmarks._ingest_messages import Batch, drawn, known
from benchmarks._ingest_servers import Server, rankspace
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store

STREAM = "long"
STEP = 1000
BATCHES = 32
"""Batches of a round: few enough that the shortest stream stays short."""


def fill(folder: Path, samples: int) -> None:
    """Make a store whose stream holds so many texts of 1 KB."""
    folder.mkdir(parents=True)
    texts = known()["text"]
    with Store.open(StoreConfig(folder=folder / "data")) as store:
        store.log.create(STREAM)
        for first in range(0, samples, STEP):
            numbers = range(first, min(first + STEP, samples))
            new = [
                Sample(f"sample-{at}", (Part("text", texts[at % len(texts)].numbered(at)),))
                for at in numbers
            ]
            store.log.append(STREAM, first, new)


async def growth(folder: Path, sizes: Sequence[int], rounds: int) -> dict[int, float]:
    """Microseconds a sample by the size of the stream."""
    with ExitStack() as stack:
        servers = {}
        for size in sizes:
            await asyncio.to_thread(fill, folder / str(size), size)
            servers[size] = stack.enter_context(rankspace(folder / str(size)))
        batch = Batch(drawn("text"))
        found: dict[int, list[float]] = {size: [] for size in sizes}
        await asyncio.gather(*(_round(server, batch) for server in servers.values()))
        for _ in range(rounds):
            for size, server in servers.items():
                found[size].append(await _round(server, batch))
    return {size: statistics.median(costs) for size, costs in found.items()}


async def _round(server: Server, batch: Batch) -> float:
    lane = Grpc(window=4, ours=True)
    await lane.open(server.address, STREAM)
    began = time.perf_counter()
    await asyncio.gather(*(lane.put(batch) for _ in range(BATCHES)))
    took = time.perf_counter() - began
    await lane.close()
    return 1e6 * took / (BATCHES * batch.samples)
