"""Load on one server: as much as it takes, or so much a second.

Closed loop: every connection keeps its window full. Open loop: batches leave at fixed moments
whatever became of those before, and a latency counts from the moment a batch was due, so that a
server that stalls is charged for all who wait (Tene, "How not to measure latency", 2013).
Media bytes are counted, not those of the wire; 1 MB is 1e6 bytes.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks._ingest_lanes import Lane
from benchmarks._ingest_messages import Batch
from benchmarks._ingest_servers import STARTS_WITHIN_S, Server


@dataclass
class Tally:
    """What was acknowledged in the measured time."""

    mb_s: float = 0.0
    samples_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu: float = 0.0
    """Cores that the server kept busy."""

    client_cpu: float = 0.0
    """Cores that the clients kept busy."""

    rss_mb: float = 0.0
    """The server's memory at its peak."""


@dataclass
class Load:
    """Connections that send one batch again and again."""

    server: Server
    lanes: Sequence[Lane]
    batch: Batch
    _acks: list[tuple[float, float]] = field(default_factory=list)
    """(when, how long it took)"""

    async def full(self, warm_s: float, seconds: float) -> Tally:
        """Send as much as is taken."""
        tasks = [self._keep(lane) for lane in self.lanes for _ in range(lane.window)]
        return await self._measured(tasks, warm_s, seconds)

    async def paced(self, batches_s: float, warm_s: float, seconds: float) -> Tally:
        """Send so many batches a second, over all connections in turn."""
        return await self._measured([self._pace(batches_s)], warm_s, seconds)

    async def _measured(
        self, work: Sequence[Coroutine[Any, Any, None]], warm_s: float, seconds: float
    ) -> Tally:
        tasks = [asyncio.create_task(one) for one in work]
        watch = asyncio.create_task(self.server.watch())
        await self._begun(tasks)
        await self._pause(tasks, warm_s)
        began, cpu, client = time.perf_counter(), self.server.cpu_s(), time.process_time()
        await self._pause(tasks, seconds)
        ended = time.perf_counter()
        took = ended - began
        tally = Tally(
            cpu=(self.server.cpu_s() - cpu) / took,
            client_cpu=(time.process_time() - client) / took,
        )
        self._stopping = True
        await asyncio.gather(*tasks)
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        self._count(tally, began, ended)
        return tally

    def _count(self, tally: Tally, began: float, ended: float) -> None:
        waits = sorted(took for when, took in self._acks if began <= when < ended)
        if not waits:
            raise RuntimeError("nothing was acknowledged in the measured time")
        rate = len(waits) / (ended - began)
        tally.mb_s = rate * self.batch.bytes / 1e6
        tally.samples_s = rate * self.batch.samples
        tally.p50_ms = 1e3 * waits[len(waits) // 2]
        tally.p99_ms = 1e3 * waits[int(len(waits) * 0.99)]
        tally.rss_mb = self.server.peak_mb

    async def _begun(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait until every connection may have had an answer: a server starts its helpers late."""
        until = time.perf_counter() + STARTS_WITHIN_S
        while len(self._acks) < len(self.lanes) and time.perf_counter() < until:
            await self._pause(tasks, 0.02)

    async def _pause(self, tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
        """Wait; a task that ends before its time has failed."""
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def _keep(self, lane: Lane) -> None:
        while not self._stopping:
            await self._put(lane, time.perf_counter())

    async def _pace(self, batches_s: float) -> None:
        loop_began, number = time.perf_counter(), 0
        under_way: set[asyncio.Task[None]] = set()
        while not self._stopping:
            due = loop_began + number / batches_s
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            lane = self.lanes[number % len(self.lanes)]
            task = asyncio.create_task(self._put(lane, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        await asyncio.gather(*under_way)

    async def _put(self, lane: Lane, due: float) -> None:
        await lane.put(self.batch)
        now = time.perf_counter()
        self._acks.append((now, now - due))

    _stopping: bool = False


async def load(
    server: Server, made: Callable[[], Lane], connections: int, batch: Batch, stream: str
) -> Load:
    """Open so many connections, each to a stream of its own."""
    lanes = [made() for _ in range(connections)]
    await asyncio.gather(
        *(lane.open(server.address, f"{stream}-{at}") for at, lane in enumerate(lanes))
    )
    return Load(server, lanes, batch)


async def closed(running: Load) -> None:
    """Disconnect all."""
    await asyncio.gather(*(lane.close() for lane in running.lanes))
