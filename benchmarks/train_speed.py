"""How fast is a step of training? Ours beside the peers' own code, at equal parameters and batch.

    python -m benchmarks.train_speed            # 3 M and 12 M parameters; 8 minutes
    python -m benchmarks.train_speed --quick    # seconds, to try it

A step is forward, loss, backward and optimiser, on 16 rows of 256 symbols that are all asked for,
2,048 symbols, one thread unless --threads says more. Peers run eager in float32 and under bfloat16
autocast, and compiled under autocast (--all: in float32 too), and the fastest way counts; ours run
as a job runs them, by its own Learner with its moving average, bfloat16 where the processor has
it, `native` as its switch; `rank plain` is without that switch. The allocator is told to keep what
is freed, for all alike. Contenders take turns (A B C A B C) and figures are medians over the
rounds, so drift of the machine hits all alike; a way of a peer that is a third slower than its
fastest in the first round is not run again.

    useful FLOPs a token = 6 N + 6 L D T,     MFU = tokens/s * FLOPs a token / peak

N are parameters inside matrix products (no table that is only looked up; the tied unembedding once;
of experts the share at work); 6 L D T is attention over half the context, forward and backward.
The peak is the fastest product of bfloat16 matrices of sizes 512 to 2048, measured in every round.
Exponents are slopes of ln seconds over ln tokens (4 to 32 rows) and over ln parameters (3 to 12 M).
Keys: tokens/s and ratio at 3 M, mfu at 12 M; `sizes` has all.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from benchmarks import _peers_text
from benchmarks._arms_jobs import plain
from benchmarks._speed_contenders import (
    BETWEEN,
    CONTEXT,
    OURS,
    ROWS,
    SIZES,
    SYMBOLS,
    Contender,
    contenders,
    corpus_of,
    flops,
    of,
)
from benchmarks._text_data import Batch, Corpus
from rankspace.training.precision import has_bfloat16, keep_freed

SLOW = 0.67
"""Of the fastest way of a peer: what is slower in the first round is not run again."""


def race(
    found: Sequence[Contender], batch: Batch, corpus: Corpus, rounds: int, steps: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Tokens/s of every contender in every round, and the peak in every round in GFLOP/s."""
    told: dict[str, list[float]] = {each.name: [] for each in found}
    peaks = []
    for each in found:
        seconds(lambda: each.step(batch, corpus), 2)  # noqa: B023  # called at once
    for at in range(rounds):
        peaks.append(peak())
        for each in found:
            if at and slow(each.name, told):
                continue
            took = seconds(lambda: each.step(batch, corpus), steps)  # noqa: B023
            told[each.name].append(batch.asked * steps / took)
    return told, peaks


def slow(name: str, told: dict[str, list[float]]) -> bool:
    """Whether a peer has a much faster way."""
    peer = name.split()[0]
    ways = [speeds[0] for other, speeds in told.items() if other.split()[0] == peer]
    return peer in _peers_text.PEERS and told[name][0] < SLOW * max(ways)


def seconds(work: Callable[[], object], times: int) -> float:
    """Wall time of doing it so often."""
    began = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - began


def peak() -> float:
    """GFLOP/s of the fastest product of square bfloat16 matrices; of float32 without bfloat16."""
    kind = torch.bfloat16 if has_bfloat16() else torch.float32
    best = 0.0
    for size in (512, 1024, 2048):
        a, b, out = (torch.ones(size, size, dtype=kind) for _ in range(3))
        torch.mm(a, b, out=out)
        times = max(1, (1024 // size) ** 2)
        for _ in range(3):
            took = seconds(lambda: torch.mm(a, b, out=out), times)  # noqa: B023
            best = max(best, 2e-9 * size**3 * times / took)
    return best


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent e of y ~ x^e by least squares in logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def exponents(corpus: Corpus, rounds: int, sizes: Sequence[tuple[int, int]]) -> dict[str, float]:
    """How the cost of a step of `rank` grows with tokens, and with parameters."""
    arms = [contenders(["rank"], of(*size), corpus, [])[0] for size in sizes]
    batches = [corpus.train.draw(0, 0, rows, CONTEXT) for rows in (4, 8, 16, 32)]
    for arm in arms:
        arm.step(batches[2], corpus)
    by_tokens = [[0.0] * rounds for _ in batches]
    by_size = [[0.0] * rounds for _ in arms]
    for at in range(rounds):
        for told, batch in zip(by_tokens, batches, strict=True):
            told[at] = seconds(lambda: arms[0].step(batch, corpus), 1)  # noqa: B023
        for told, arm in zip(by_size, arms, strict=True):
            told[at] = seconds(lambda: arm.step(batches[2], corpus), 1)  # noqa: B023
    return {
        "exponent_tokens": slope(
            [batch.asked for batch in batches], [float(np.median(told)) for told in by_tokens]
        ),
        "exponent_parameters": slope(
            [arm.arm.parameters for arm in arms], [float(np.median(told)) for told in by_size]
        ),
    }


@cache
def megabytes(name: str, size: str) -> float:
    """Memory that two steps take beyond what the libraries do, in a process of its own."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.train_speed", "--memory", f"{name},{size}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout.split()[-1])


def remember(name: str, size: str) -> None:
    """Print what `megabytes` asks for."""
    corpus = corpus_of(SYMBOLS, 800)
    before = peak_kb()
    each = contenders([name], of(*SIZES[size]), corpus, ["eager bfloat16"])[0]
    batch = corpus.train.draw(0, 0, ROWS, CONTEXT)
    seconds(lambda: each.step(batch, corpus), 2)
    print((peak_kb() - before) / 1024)


def peak_kb() -> int:
    """The most memory that this program has taken; what `getrusage` tells began with its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text("ascii").partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(
    size: str, corpus: Corpus, rounds: int, modes: Sequence[str], memory: bool
) -> dict[str, dict[str, float]]:
    """All contenders at one size, printed as a table."""
    width, depth = SIZES[size]
    found = contenders((*_peers_text.PEERS, *OURS), of(width, depth), corpus, modes)
    batch = corpus.train.draw(0, 0, ROWS, CONTEXT)
    told, peaks = race(found, batch, corpus, rounds, 2)
    top = float(np.median(peaks))
    print(f"\n{size}, peak {top:.0f} GFLOP/s\n")
    print("| contender | parameters | tokens/s | lowest, highest | MFU | MB |")
    print("| --- | ---: | ---: | --- | ---: | ---: |")
    rows = {}
    for each in found:
        speeds = told[each.name]
        middle = float(np.median(speeds))
        mfu = middle * flops(each.arm, width, depth, CONTEXT) / top / 1e9
        name = each.name.split()[0] if each.learner is None else each.name
        room = megabytes(name, size) if memory else float("nan")
        rows[each.name] = {"tok_s": middle, "mfu": mfu, "mb": room, "peak_gflops": top}
        print(
            f"| {each.name} | {each.arm.parameters:,} | {middle:,.0f} "
            f"| {min(speeds):,.0f}, {max(speeds):,.0f} | {mfu:.3f} | {room:.0f} |",
            flush=True,
        )
    return rows


def best_peer(rows: dict[str, dict[str, float]]) -> float:
    """Tokens/s of the fastest way of the fastest peer; nan without peers."""
    found = [row["tok_s"] for name, row in rows.items() if name.split()[0] in _peers_text.PEERS]
    return max(found, default=float("nan"))


def main() -> None:
    """Print the tables, and the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="train_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--eager", action="store_true", help="leave out compiled peers")
    parser.add_argument("--all", action="store_true", help="compile peers in float32 too")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--memory", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed()
    if asked.memory:
        remember(*asked.memory.split(","))
        return
    corpus = corpus_of(SYMBOLS, 800)
    modes = ["eager float32", "eager bfloat16"]
    if not (asked.eager or asked.quick):
        modes += ["compiled bfloat16", *["compiled float32"][: asked.all]]
    names, rounds = (["3M"], 1) if asked.quick else (list(SIZES), asked.rounds)
    sizes = {name: measured(name, corpus, rounds, modes, not asked.quick) for name in names}
    first, last = sizes[names[0]], sizes[names[-1]]
    figures: dict[str, object] = {
        "rank_tok_s": first["rank"]["tok_s"],
        "best_peer_tok_s": best_peer(first),
        "ratio": first["rank"]["tok_s"] / best_peer(first),
        "mfu": last["rank"]["mfu"],
        "peak_gflops": last["rank"]["peak_gflops"],
        "sizes": sizes,
    }
    if not asked.quick:
        figures |= exponents(corpus, asked.rounds, [SIZES["3M"], BETWEEN, SIZES["12M"]])
    print(json.dumps(plain(figures)))


if __name__ == "__main__":
    main()
