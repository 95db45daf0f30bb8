"""How much does a model learn from 1,000 stories? Ours, the peers' own code, and plain counts.

    python -m benchmarks.sample_efficiency                 # three seeds; hours, but it resumes
    python -m benchmarks.sample_efficiency --stories 10000 --budget 12000000
    python -m benchmarks.sample_efficiency --arms rank,gpt2,kn5 --seeds 1
    python -m benchmarks.sample_efficiency --told          # the table of what was run so far
    python -m benchmarks.sample_efficiency --quick         # a minute of nearly nothing, to try it

All neural arms have the same count of parameters (within 3 %), symbols, texts in the same order,
token budget and grid of rates. Rates fall over the second half, but for `rank`, whose average of
the weights is measured in place of that; gpt2+average, hf_gpt2+average and xt+average are the
baselines with both. Dropout is 0.1; what `rank` reads is noised and its dropout is 0.2, as in
gpt2+noise. The rate is chosen at seed 0 on 128 held-out stories, which also stop the training and
choose the best state; figures are of the other held-out stories, document by document, every byte
once (benchmarks/_text_data.py). Variants of an arm, named after it with a minus or a plus, take its
rate (`--arms all` has what is tried over `rank` too).
Intervals are 95 % t-intervals over seeds. Seconds are tokens times the seconds of one, measured
alone after all else.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks import _peers_text
from benchmarks._arms_counts import BASELINES
from benchmarks._arms_jobs import Job, Settings, finish, found, plain, why_not, work
from benchmarks._arms_levels import table as blocks
from benchmarks._arms_table import SPECS
from benchmarks._text_data import stories
from benchmarks._text_samples import Judge
from rankspace.errors import NotFound

GPT2 = ("gpt2", "hf_gpt2", "xt")
RATES = (0.3, 1.0, 3.0)
UNSEEN = 8000
"""Training stories that no arm reads and that say which trigrams are valid."""

DEFAULT = (
    *BASELINES, *GPT2, "prism", "crate", "rank", "rank_moe",
    *(name for name in SPECS if name.startswith("rank-")),
    "rank+add5", "rank+mix5", "rank+mix5-leaky", "rank+stack5", "gpt2+held", "gpt2+noise",
    *(f"{name}+average" for name in GPT2),
)  # fmt: skip
QUICK = Settings(
    stories=60, held_out=16, budget=6000, symbols=512, parameters=285_696, width=96, depth=2,
    context=128, sampled=2,
)  # fmt: skip

KEYS = (
    "rank_bpb", "gpt2_bpb", "hf_gpt2_bpb", "xt_bpb", "prism_bpb", "crate_bpb", "kn5_bpb", "ppm_bpb",
    "tokens_to_gpt2_best", "seconds_to_gpt2_best", "birth_gap_nats", "maxvio",
)  # fmt: skip


def parent(arm: str) -> str:
    """The arm whose rate a variant takes; itself if it is none."""
    return arm.replace("+", "-").split("-")[0]


class Table:
    """Results by arm."""

    def __init__(self, arms: Sequence[str], settings: Settings, seeds: int) -> None:
        self.arms, self.settings, self.seeds = arms, settings, seeds

    def tuning(self, rates: Sequence[float]) -> list[Job]:
        """Runs that choose the rates: arms that have one of their own, at seed 0."""
        own = dict.fromkeys(parent(arm) for arm in self.arms if arm not in BASELINES)
        return [Job(arm, rate) for arm in own for rate in rates]

    def rate(self, arm: str, rates: Sequence[float]) -> float:
        """The rate that was best on the stories for tuning."""
        told = {rate: found(Job(parent(arm), rate), self.settings) for rate in rates}
        done = [(done["tune_bpb"], rate) for rate, done in told.items() if done]
        return min(done, default=(0.0, rates[0]))[1]

    def measuring(self, rates: Sequence[float]) -> list[Job]:
        """Runs that are reported."""
        jobs = [Job(arm) for arm in self.arms if arm in BASELINES]
        for arm in (arm for arm in self.arms if arm not in BASELINES):
            jobs += [Job(arm, self.rate(arm, rates), seed) for seed in range(self.seeds)]
        return jobs

    def results(self, arm: str, rates: Sequence[float]) -> list[dict[str, Any]]:
        """What an arm's reported runs found."""
        jobs = (job for job in self.measuring(rates) if job.arm == arm)
        return [done for job in jobs if (done := found(job, self.settings))]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % interval; nan for one value."""
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    wide = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values)), float(wide)


def reached(curve: Sequence[Sequence[float]], bits: float) -> float:
    """Tokens at which a curve first comes down to these bits, between readings by a line."""
    before: Sequence[float] | None = None
    for point in curve:
        if point[2] <= bits:
            if before is None:
                return point[0]
            share = (before[2] - bits) / (before[2] - point[2])
            return before[0] + share * (point[0] - before[0])
        before = point
    return float("nan")


def summary(table: Table, rates: Sequence[float], ours: str) -> dict[str, Any]:
    """The figures that bars are about."""
    told = {arm: table.results(arm, rates) for arm in table.arms}
    mean = {arm: interval([each["test_bpb"] for each in runs])[0] for arm, runs in told.items()}
    found_: dict[str, Any] = dict.fromkeys(KEYS)
    found_ |= {f"{arm}_bpb": bits for arm, bits in mean.items()}
    found_["rank_bpb"] = mean.get(ours)
    for arm in ("kn5", "ppm"):  # the better of symbols or characters, and bytes
        both = [mean[name] for name in (arm, f"{arm}_bytes") if name in mean]
        found_[f"{arm}_bpb"] = min(both) if both else None
    rivals = [arm for arm in GPT2 if arm in told]
    runs = told.get(ours, [])
    if rivals and runs:
        best = min(rivals, key=lambda arm: mean[arm])
        found_ |= _race(table, runs, told[best], ours, best)
    if runs:
        gaps = [abs(run["birth_gap_nats"]) for run in runs if run["birth_gap_nats"] is not None]
        found_["birth_gap_nats"] = max(gaps) if gaps else None
        found_["norm_p95_over_median"] = max(r["norm_p95"] / r["norm_median"] for r in runs)
    violations = [run["maxvio"] for arm in told for run in told[arm] if "maxvio" in run]
    found_["maxvio"] = max(violations) if violations else None
    wide = {arm: interval([each["test_bpb"] for each in runs])[1] for arm, runs in told.items()}
    return found_ | {"intervals": wide}


def _race(
    table: Table, runs: list[dict[str, Any]], theirs: list[dict[str, Any]], ours: str, best: str
) -> dict[str, Any]:
    """Tokens and seconds until ours is as good as the best GPT-2 arm ever is, beside its own.

    Seconds are those of counting and of making the network, and of the steps.
    """
    bits = float(np.mean([each["tune_bpb"] for each in theirs]))
    tokens = float(np.mean([reached(each["curve"], bits) for each in runs]))
    own = float(np.mean([each["best_tokens"] for each in theirs]))
    pace = {arm: found(Job(arm, timed=True), table.settings) for arm in (ours, best)}
    nothing = {"birth_seconds": float("nan"), "seconds_per_token": float("nan")}
    birth, each_s = (
        {arm: (done or nothing)[name] for arm, done in pace.items()}
        for name in ("birth_seconds", "seconds_per_token")
    )
    return {
        "best_gpt2_arm": best, "tokens_to_gpt2_best": tokens,
        "seconds_to_gpt2_best": birth[ours] + tokens * each_s[ours],
        "gpt2_tokens": own, "gpt2_seconds": birth[best] + own * each_s[best],
    }  # fmt: skip


def judged(table: Table, rates: Sequence[float]) -> dict[str, tuple[float, int]]:
    """Validity of trigrams and the longest copied span of every arm's samples."""
    count = table.settings.stories
    unseen = [text.decode() for text in stories("train", count, count + UNSEEN)]
    train = [text.decode() for text in stories("train", 0, count)]
    judge = Judge(unseen, train)
    real = [text.decode() for text in stories("valid", 0, 100)]
    found_ = {"real stories": (judge.validity(real), judge.copied(real))}
    for arm in table.arms:
        said = [text for run in table.results(arm, rates) for text in run["samples"]]
        found_[arm] = (judge.validity(said), judge.copied(said))
    return found_


def show(table: Table, rates: Sequence[float], asked: Sequence[str]) -> None:
    """Print the table, best first, and what each block of the arms that are asked for is worth."""
    marks = judged(table, rates)
    print(
        "| arm | bits a byte | ± | seeds | parameters | rate | best at tokens | valid trigrams "
        "| copied |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    lines = []
    for arm in table.arms:
        runs = table.results(arm, rates)
        bits, wide = interval([run["test_bpb"] for run in runs])
        first = runs[0]
        at = np.mean([run.get("best_tokens", float("nan")) for run in runs])
        valid, copied = marks[arm]
        lines.append((
            bits,
            f"| {arm} | {bits:.4f} | {wide:.4f} | {len(runs)} | {first.get('parameters', 0):,} "
            f"| {first['job']['rate']:g} | {at:,.0f} | {valid:.3f} | {copied} |",
        ))  # fmt: skip
    print("\n".join(line for _, line in sorted(lines)))
    valid, copied = marks["real stories"]
    print(f"| real held-out stories | | | | | | | {valid:.3f} | {copied} |")
    for arm in table.arms:
        read = [done["levels"] for done in table.results(arm, rates) if "levels" in done]
        if read and arm in asked:
            print(f"\n{arm}, block by block, on the stories for tuning:\n\n{blocks(read)}")


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="sample_efficiency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stories", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=2_000_000, help="tokens of a run")
    parser.add_argument("--arms", default="", help="names with commas, or all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", default="", help="multiples of each optimiser's own rates")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rank", default="rank", help="the arm that is reported as rank")
    parser.add_argument("--levels", default="rank", help="arms to be shown block by block")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--told", action="store_true", help="run nothing, show what was run")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen(names: str) -> list[str]:
    """Arms that can run here; says of the others why not."""
    everything = dict.fromkeys((*BASELINES, *_peers_text.ARMS, *SPECS))
    asked = list(everything) if names == "all" else names.split(",") if names else list(DEFAULT)
    for name in asked:
        if why := why_not(name):
            print(f"left out {name}: {why}", flush=True)
    return [name for name in asked if not why_not(name)]


def main() -> None:
    """Run what is missing and print the table."""
    asked = options()
    if asked.one:
        told = json.loads(asked.one)
        work(Job(**told["job"]), Settings(**told["settings"]))
        return
    try:
        stories("valid", 0, 1)
    except NotFound as error:
        raise SystemExit(str(error)) from None
    settings = Settings(stories=asked.stories, budget=asked.budget, dropout=asked.dropout)
    settings = replace(QUICK, dropout=asked.dropout) if asked.quick else settings
    rates = tuple(map(float, asked.rates.split(","))) if asked.rates else RATES
    rates, seeds = ((1.0,), 1) if asked.quick else (rates, asked.seeds)
    table = Table(chosen(asked.arms), settings, seeds)
    if asked.told:
        table.arms = [arm for arm in table.arms if table.results(arm, rates)]
    else:
        finish(table.tuning(rates), settings, asked.jobs)
        finish(table.measuring(rates), settings, asked.jobs)
        alone = [arm for arm in table.arms if arm in (*GPT2, asked.rank)]
        finish([Job(arm, timed=True) for arm in alone], settings, 1)
    show(table, rates, asked.levels.split(","))
    print(json.dumps(plain(summary(table, rates, asked.rank))))


if __name__ == "__main__":
    main()
