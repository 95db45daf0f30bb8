"""The rows of `benchmarks.ingest`: who is loaded with what, in which order, how often."""

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import _ingest_servers as servers
from benchmarks._ingest_lanes import Grpc, Lane, Postgres, Redis, emptied
from benchmarks._ingest_load import Tally, closed, load
from benchmarks._ingest_messages import Batch, drawn

WINDOW = 4
BAR_CONNECTIONS = 8
LANES: dict[str, Callable[[], Lane]] = {
    "echo": lambda: Grpc(WINDOW, ours=False),
    "rankspace": lambda: Grpc(WINDOW, ours=True),
    "redis": Redis,
    "postgres": Postgres,
    "full echo": lambda: Grpc(WINDOW, ours=False, back=True),
    "window 1": lambda: Grpc(1, ours=True),
}
NEEDS = {"redis": "redis-server", "postgres": "postgres"}
HOSTS = {"full echo": "echo", "window 1": "rankspace"}
"""Ways to load a server that another row has started."""

BARS: dict[str, tuple[list[str], list[str]]] = {
    "echo": (["image", "mix"], ["echo", "rankspace"]),
    "texts": (["text"], ["rankspace", "redis", "postgres"]),
    "waits": (["text", "image", "audio", "mix"], ["rankspace"]),
    "growth": ([], []),
}
"""Media and contenders that one bar alone needs."""


@dataclass(frozen=True)
class Cell:
    """One row of the table."""

    contender: str
    kind: str
    connections: int
    batched: bool = True

    def __str__(self) -> str:
        way = "" if self.batched else ", one by one"
        return f"{self.contender} | {self.kind}{way} | {self.connections}"


@dataclass
class Plan:
    """What is measured, and for how long."""

    kinds: list[str]
    connections: list[int]
    contenders: list[str]
    warm_s: float
    seconds: float
    repeats: int
    sizes: list[int]
    rounds: int
    profile: Path | None
    found: dict[Cell, list[Tally]] = field(default_factory=dict)
    paced: dict[str, Tally] = field(default_factory=dict)
    """At half of what was taken, by kind."""

    grown: dict[int, float] = field(default_factory=dict)
    """Microseconds a sample, by the size of the stream."""

    late: dict[tuple[str, str, str], list[servers.Late]] = field(default_factory=dict)
    """How late our event loop came in each run, and how long it was busy of that, by metric, kind
    and load."""

    bar: str = ""
    """Rows that this bar does not need are left out; empty: none are."""

    disk: dict[int, float] = field(default_factory=dict)
    """MB/s of the disk, by the bytes between two syncs."""

    def median(self, cell: Cell) -> Tally | None:
        """The run in the middle."""
        runs = sorted(self.found.get(cell, ()), key=lambda tally: tally.mb_s)
        return runs[len(runs) // 2] if runs else None


def cells(plan: Plan, kind: str) -> Iterator[Cell]:
    """Contenders in turn, so that what else the machine does hits all alike."""
    for connections in plan.connections:
        bar = connections == BAR_CONNECTIONS
        ways = [*plan.contenders, *("full echo",) * ("echo" in plan.contenders and bar)]
        for _ in range(plan.repeats if bar and kind != "audio" else 1):
            yield from (Cell(name, kind, connections) for name in ways)
        if bar and not plan.bar:
            yield Cell("window 1", kind, connections)
            if kind in ("text", "image"):
                yield from (Cell(name, kind, connections, False) for name in plan.contenders)


async def measure(plan: Plan, kind: str, folder: Path) -> None:
    """All rows of one kind of media, on servers that start empty."""
    with started(plan, folder) as (running, peers):
        for cell in cells(plan, kind):
            host = HOSTS.get(cell.contender, cell.contender)
            if host in running:
                tally = await run(plan, cell, running[host])
                plan.found.setdefault(cell, []).append(tally)
                told(f"{cell}: {tally.mb_s:.1f} MB/s, {tally.samples_s:.0f} samples/s")
        cell = Cell("rankspace", kind, BAR_CONNECTIONS)
        full = plan.median(cell)
        peers.close()  # what databases still write behind would be waited for too
        if full and plan.bar in ("", "waits"):
            half = full.mb_s * 1e6 / Batch(drawn(kind)).bytes / 2
            plan.paced[kind] = await run(plan, cell, running["rankspace"], half)


async def run(plan: Plan, cell: Cell, server: servers.Server, batches_s: float = 0) -> Tally:
    """One row once; at so many batches a second, if told so."""
    await emptied(cell.contender, server.address)
    batch = Batch(drawn(cell.kind, cell.batched))
    number = sum(map(len, plan.found.values()))
    stream = f"{cell.kind}-{number}-{'paced' if batches_s else 'full'}"
    loaded = await load(server, LANES[cell.contender], cell.connections, batch, stream)
    ours = cell == Cell("rankspace", cell.kind, BAR_CONNECTIONS)
    before = await asyncio.to_thread(_late, server) if ours else {}
    try:
        if batches_s:
            return await loaded.paced(batches_s, plan.warm_s, 2 * plan.seconds)
        return await loaded.full(plan.warm_s, plan.seconds)
    finally:
        after = await asyncio.to_thread(_late, server) if ours else {}
        for metric, late in after.items():
            which = metric, cell.kind, "half" if batches_s else "full"
            plan.late.setdefault(which, []).append(late.since(before[metric]))
        await closed(loaded)


def _late(server: servers.Server) -> dict[str, servers.Late]:
    return {metric: server.late(metric) for metric in (servers.LATE, servers.BUSY)}


@contextmanager
def started(plan: Plan, folder: Path) -> Iterator[tuple[dict[str, servers.Server], ExitStack]]:
    """The contenders that are installed, each in a folder of its own; removed afterwards.

    The stack has all but ours: they end when it is closed.
    """
    starts = {
        "echo": servers.echo,
        "rankspace": lambda place: servers.rankspace(place, plan.profile),
        "redis": servers.redis,
        "postgres": servers.postgres,
    }
    try:
        with ExitStack() as stack:
            running = {}
            peers = stack.enter_context(ExitStack())
            for name in plan.contenders:
                if servers.installed(NEEDS.get(name, "")) or name not in NEEDS:
                    (folder / name).mkdir(parents=True)
                    where = stack if name == "rankspace" else peers
                    running[name] = where.enter_context(starts[name](folder / name))
                else:
                    told(f"{name}: {servers.NOT_INSTALLED}")
            yield running, peers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def told(words: str) -> None:
    """How far it is, for who waits."""
    print(words, file=sys.stderr, flush=True)
