"""What does it cost to look into media only where a decoder may die?

    python -m benchmarks.sandbox [--quick]

One machine, one run. First, one process and packs of one encoding: microseconds of the process a
part, and of the server a pack, to tell what headers promise and to strip metadata; CPU time, not
that of the clock (/proc/PID/schedstat counts it in nanoseconds). Then appends over gRPC, eight
connections, 32 KB pictures and the mix of `benchmarks.ingest`: the server as it is, next to one
that looks into no media at all, run in turn. `cost_share` is what looking takes of the second's
MB/s, the worse of both; the bar is 0.15. `cpu_share` is what it takes of the first's processor time
a MB, its processes included: a machine that others use moves it less.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import uvloop

from benchmarks import media
from benchmarks._ingest_lanes import Grpc
from benchmarks._ingest_load import Tally, load
from benchmarks._ingest_messages import Batch, Medium, drawn
from benchmarks._ingest_servers import PYTHON, rankspace
from rankspace.media import encode
from rankspace.media.limits import Limits
from rankspace.media.sample import Part, Sample
from services.sandbox.config import SandboxConfig
from services.sandbox.decoding import Sandbox

CONNECTIONS, WINDOW = 8, 4
KINDS = ("image", "mix")
Pair = tuple[Tally, Tally]
"""With looking, and without."""

WITHOUT = (PYTHON, "-m", "benchmarks._sandbox_without")


@dataclass
class Costs:
    """What one pack took."""

    part_us: float
    """Of the process, a part."""

    pack_us: float
    """Of the server, a pack."""


def packs() -> Mapping[str, Sequence[Part]]:
    """Sixteen parts of every encoding, or four of a long sound."""
    photos, waves = media.photos(), media.speech()
    wave = np.asarray(np.concatenate(waves)[:80_000], np.float32)
    frames = [np.asarray(photo) for photo in photos[:1]] * 8
    found = {
        "jpeg, 32 KB": [Part("image", medium.numbered(at)) for at, medium in _drawn("image", 16)],
        "wav, 256 KB": [Part("audio", medium.numbered(at)) for at, medium in _drawn("audio", 4)],
    }
    for name in ("png", "webp"):
        found[name] = [Part("image", getattr(encode, name)(photo)) for photo in photos[:16]]
    for name in ("flac", "mp3", "ogg", "opus"):
        found[f"{name}, 5 s"] = [Part("audio", getattr(encode, name)(wave))] * 16
    for name in ("mp4", "webm"):
        found[f"{name}, 8 frames"] = [Part("video", getattr(encode, name)(frames, 4))] * 16
    return found


def _drawn(kind: str, count: int) -> list[tuple[int, Medium]]:
    return list(enumerate(drawn(kind)))[:count]


def costs(
    sandbox: Sandbox,
    ask: Callable[[Sequence[Sample]], object],
    parts: Sequence[Part],
    seconds: float,
) -> Costs:
    """Ask about the same pack again and again."""
    samples = [Sample(f"s{at}", (part,)) for at, part in enumerate(parts)]
    ask(samples)
    pid = sandbox.processes[0]
    rounds, until = 0, time.perf_counter() + seconds
    server, process = time.process_time(), _busy_s(pid)
    while time.perf_counter() < until:
        ask(samples)
        rounds += 1
    server, process = time.process_time() - server, _busy_s(pid) - process
    return Costs(1e6 * process / rounds / len(parts), 1e6 * server / rounds)


def _busy_s(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def taken(kind: str, folder: Path, program: Sequence[str], seconds: float) -> Tally:
    """What a server takes, once its processes have started."""
    warm_s = min(2.0, seconds)
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        rankspace(Path(place), program=program) as server,
    ):
        made = partial(Grpc, WINDOW, ours=True)
        loaded = await load(server, made, CONNECTIONS, Batch(drawn(kind)), "s")
        tally = await loaded.full(warm_s, seconds)
        await asyncio.gather(*(lane.close() for lane in loaded.lanes))
    return tally


async def compared(folder: Path, seconds: float, rounds: int) -> dict[str, list[Pair]]:
    """(with, without) of each kind, again and again."""
    found: dict[str, list[Pair]] = {kind: [] for kind in KINDS}
    ours = (str(Path(PYTHON).with_name("rankspace")),)
    for at in range(rounds):
        for kind in KINDS:
            pair = {}
            for name, program in (("with", ours), ("without", WITHOUT))[:: 1 if at % 2 else -1]:
                pair[name] = await taken(kind, folder, program, seconds)
            found[kind].append((pair["with"], pair["without"]))
            both = f"{pair['with'].mb_s:.0f} of {pair['without'].mb_s:.0f}"
            sys.stderr.write(f"{kind} {both} MB/s\n")
    return found


def table(told: Mapping[str, tuple[Costs, Costs]], rates: Mapping[str, Sequence[Pair]]) -> str:
    """All rows."""
    lines = ["| media | tell: process µs a part | server µs a pack | strip: process | server |"]
    lines += ["| --- | ---: | ---: | ---: | ---: |"]
    for name, (tell, strip) in told.items():
        figures = (tell.part_us, tell.pack_us, strip.part_us, strip.pack_us)
        lines.append(f"| {name} | {' | '.join(f'{figure:.0f}' for figure in figures)} |")
    lines += ["", "| appends | MB/s | CPU ms a MB | without looking: MB/s | CPU ms a MB |"]
    lines += ["| --- | ---: | ---: | ---: | ---: |"]
    for kind, pairs in rates.items():
        columns = [runs for column in zip(*pairs, strict=True) for runs in _figures(column)]
        medians = " | ".join(f"{statistics.median(runs):.1f}" for runs in columns)
        lines.append(f"| {kind} | {medians} |")
    return "\n".join(lines)


def _figures(runs: Sequence[Tally]) -> tuple[list[float], list[float]]:
    return [run.mb_s for run in runs], [_cpu_ms(run) for run in runs]


def _cpu_ms(run: Tally) -> float:
    return 1e3 * run.cpu / run.mb_s


def share(pairs: Sequence[Pair]) -> float:
    """What looking takes of MB/s: the median over the runs."""
    return 1 - statistics.median(ours.mb_s / without.mb_s for ours, without in pairs)


def cpu_share(pairs: Sequence[Pair]) -> float:
    """What looking takes of processor time."""
    return 1 - statistics.median(_cpu_ms(without) / _cpu_ms(ours) for ours, without in pairs)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print the table, and last one line of JSON."""
    parser = argparse.ArgumentParser(description="What does looking into media cost?")
    parser.add_argument("--quick", action="store_true", help="seconds instead of a minute: a smoke")
    quick = parser.parse_args(words).quick
    told = {}
    with Sandbox(SandboxConfig(workers=1), Limits()) as sandbox:
        for name, parts in packs().items():
            told[name] = (
                costs(sandbox, sandbox.check, parts, 0.02 if quick else 0.7),
                costs(sandbox, sandbox.strip, parts, 0.02 if quick else 0.7),
            )
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        rates = uvloop.run(compared(Path(folder), 0.3 if quick else 2.5, 1 if quick else 5))
    print(table(told, rates))
    tell, strip = told["jpeg, 32 KB"]
    figures = {
        "jpeg_part_us": tell.part_us,
        "jpeg_pack_server_us": tell.pack_us,
        "jpeg_strip_part_us": strip.part_us,
        "jpeg_strip_pack_server_us": strip.pack_us,
        "append_mb_s": min(statistics.median(x.mb_s for x, _ in pairs) for pairs in rates.values()),
        "cost_share": max(map(share, rates.values())),
        "cpu_share": max(map(cpu_share, rates.values())),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
