"""What does a durable append cost, next to an echo and to what one would otherwise take?

    python -m benchmarks.ingest [--quick] [--kinds image,mix] [--connections 8] [--profile FILE]
    python -m benchmarks.ingest --bar echo|texts|waits|growth     # one bar, in about a minute

One machine, one run. Every server is a process of its own, all clients are this one. Contenders get
the same media (see `_ingest_messages`) in batches of the same size:

    echo       bare grpc.aio: takes the same messages, gives a small answer to each
    rankspace  `rankspace serve`, default settings, its own stub: acknowledged when synced to disk
    redis      Redis Streams, appendfsync always, a pipeline of XADD a batch, redis-py
    postgres   PostgreSQL, an INSERT a sample, executemany and one commit a batch, psycopg

gRPC connections keep four batches on their way; those of Redis and PostgreSQL one, as their
clients do (the row "window 1" is ours with one). "one by one" is a sample a message, a command, a
commit. `ratio` is of MB/s acknowledged against the echo that answers with small responses;
`ratio_full_echo` against the one that sends everything back, as the word says. What the disk takes
by itself stands below the rows: no durable server is faster. Half load comes last, when the peers
have ended: what a database writes behind would keep the disk from whoever waits for it.

The event loop's lateness is what the server's own metric says, apart for full and for half load:
what blocks the loop makes it late, and so does whatever else keeps the process from a core. Where
it was busy itself, it is to blame.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks._ingest_disk import SIZES, synced_mb_s
from benchmarks._ingest_growth import growth
from benchmarks._ingest_load import Tally
from benchmarks._ingest_messages import BATCHES
from benchmarks._ingest_plan import BAR_CONNECTIONS, BARS, Cell, Plan, measure, told
from benchmarks._ingest_servers import BUSY, LATE, Late

BAR_KINDS = ("image", "mix")
"""Where the echo is the measure."""


def options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What does a durable append cost?")
    parser.add_argument("--bar", choices=BARS, help="only what this bar needs")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: a smoke")
    parser.add_argument("--kinds", default=",".join(BATCHES))
    parser.add_argument("--connections", default="1,8,64")
    parser.add_argument("--contenders", default="echo,rankspace,redis,postgres")
    parser.add_argument("--seconds", type=float, help="measured in every row, else 3")
    parser.add_argument("--no-growth", action="store_true", help="leave out the long streams")
    parser.add_argument("--folder", type=Path, help="where servers keep their data for the time")
    parser.add_argument("--profile", type=Path, help="our server's time by function, for pstats")
    return parser.parse_args(words)


def planned(given: argparse.Namespace) -> Plan:
    plan = Plan(
        kinds=given.kinds.split(","),
        connections=[int(word) for word in given.connections.split(",")],
        contenders=given.contenders.split(","),
        warm_s=0.7,
        seconds=given.seconds or 3.0,
        repeats=3,
        sizes=[] if given.no_growth else [10_000, 100_000, 1_000_000],
        rounds=15,
        profile=given.profile and given.profile.absolute(),
    )
    if given.bar:
        plan.bar = given.bar
        plan.kinds, plan.contenders = BARS[given.bar]
        plan.connections = [BAR_CONNECTIONS]
        plan.warm_s, plan.seconds = 0.5, given.seconds or 2.0
        plan.repeats = 1 if given.bar == "waits" else 3
        plan.sizes = [10_000, 100_000] if given.bar == "growth" else []
    if given.quick:
        plan.connections = [BAR_CONNECTIONS]
        plan.warm_s, plan.seconds, plan.repeats = 0.1, given.seconds or 0.3, 1
        plan.sizes, plan.rounds = [100, 1000] if plan.sizes else [], 2
    return plan


async def measured(plan: Plan, folder: Path) -> None:
    """All rows, then the long streams."""
    plan.disk = synced_mb_s(folder, SIZES, plan.seconds / 2)
    for kind in plan.kinds:
        await measure(plan, kind, folder / kind)
    if plan.sizes:
        told(f"streams of {', '.join(map(str, plan.sizes))} samples")
        plan.grown = await growth(folder / "growth", plan.sizes, plan.rounds)


def table(plan: Plan) -> str:
    """All rows, medians of their runs."""
    lines = [
        "| server | media | connections | MB/s | samples/s | ack p50 ms | ack p99 ms "
        "| server cores | client cores | server MB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = [(str(cell), plan.median(cell)) for cell in plan.found]
    paced = [
        (f"rankspace at half load | {kind} | {BAR_CONNECTIONS}", tally)
        for kind, tally in plan.paced.items()
    ]
    lines += [f"| {name} | {_figures(tally)} |" for name, tally in rows + paced if tally]
    lines += ["", "| samples in the stream | µs a sample |", "| ---: | ---: |"]
    lines += [f"| {size:,} | {cost:.0f} |" for size, cost in plan.grown.items()]
    lines += ["", "| media | load | ticks of the event loop | late over 20 ms | busy over 20 ms |"]
    lines += ["| --- | --- | ---: | ---: | ---: |"]
    for metric, kind, load in sorted(plan.late):
        if metric == LATE:
            late, busy = (Late.of(plan.late[name, kind, load]) for name in (LATE, BUSY))
            lines += [f"| {kind} | {load} | {late.ticks:.0f} | {late.over:.0f} | {busy.over:.0f} |"]
    lines += ["", "| KB between two syncs of the disk | MB/s |", "| ---: | ---: |"]
    lines += [f"| {size >> 10:,} | {rate:.0f} |" for size, rate in plan.disk.items()]
    return "\n".join(lines)


def _figures(tally: Tally) -> str:
    return (
        f"{tally.mb_s:.1f} | {tally.samples_s:.0f} | {tally.p50_ms:.2f} | {tally.p99_ms:.2f} "
        f"| {tally.cpu:.2f} | {tally.client_cpu:.2f} | {tally.rss_mb:.0f}"
    )


def summary(plan: Plan) -> dict[str, float | None]:
    """The figures that have bars; null where a row is missing.

    Echo, append and their ratio are of the worse of 32 KB pictures and the mix; the waits are of
    the kind whose 99th percentile is worst at half load; the other ratios are of samples/s at 1 KB.
    """
    ratio, echo, ours = min(map(_ratio, _pairs(plan, "echo")), default=(None, None, None))
    texts = _at(plan, "rankspace", "text")
    waits = max(plan.paced.values(), key=lambda tally: tally.p99_ms, default=None)
    runs = [
        tally
        for cell, tallies in plan.found.items()
        if cell.contender in ("rankspace", "window 1")
        for tally in tallies
    ]
    return {
        "echo_mb_s": echo,
        "append_mb_s": ours,
        "ratio": ratio,
        "ratio_full_echo": min(
            (_ratio(pair)[0] for pair in _pairs(plan, "full echo")), default=None
        ),
        "samples_s": texts.samples_s if texts else None,
        "redis_ratio": _beside(plan, "redis"),
        "postgres_ratio": _beside(plan, "postgres"),
        "ack_p50_ms": waits.p50_ms if waits else None,
        "ack_p99_ms": waits.p99_ms if waits else None,
        "rss_mb": max((tally.rss_mb for tally in runs), default=None),
        "growth_1e4_1e6": _growth(plan),
        "late_half": _over(plan, LATE, "half"),
        "late_full": _over(plan, LATE, "full"),
        "busy_half": _over(plan, BUSY, "half"),
        "busy_full": _over(plan, BUSY, "full"),
        "disk_mb_s": max(plan.disk.values(), default=None),
    }


def _at(plan: Plan, contender: str, kind: str) -> Tally | None:
    return plan.median(Cell(contender, kind, BAR_CONNECTIONS))


def _pairs(plan: Plan, echo: str) -> list[tuple[Tally, Tally]]:
    both = [(_at(plan, echo, kind), _at(plan, "rankspace", kind)) for kind in BAR_KINDS]
    return [(theirs, ours) for theirs, ours in both if theirs and ours]


def _ratio(pair: tuple[Tally, Tally]) -> tuple[float, float, float]:
    echo, ours = pair
    return ours.mb_s / echo.mb_s, echo.mb_s, ours.mb_s


def _beside(plan: Plan, other: str) -> float | None:
    ours, theirs = _at(plan, "rankspace", "text"), _at(plan, other, "text")
    return ours.samples_s / theirs.samples_s if ours and theirs else None


def _over(plan: Plan, metric: str, load: str) -> float | None:
    """The share of ticks over 20 ms, of the kind where it is largest."""
    runs = [
        found for (name, _, which), found in plan.late.items() if (name, which) == (metric, load)
    ]
    return max((late.over / late.ticks for late in map(Late.of, runs) if late.ticks), default=None)


def _growth(plan: Plan) -> float | None:
    first, last = plan.grown.get(10_000), plan.grown.get(1_000_000)
    return last / first if first and last else None


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print the table, and last one line of JSON."""
    given = options(words)
    plan = planned(given)
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=given.folder) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as a user of its own
        uvloop.run(measured(plan, Path(folder)))
    print(table(plan))
    print(json.dumps(summary(plan)))


if __name__ == "__main__":
    main()
