"""Runs of a benchmark: each in a process of one thread, kept in a file, never done twice.

A run is an arm, a rate and a seed under common settings. Its result is a JSON file whose folder is
named after the settings, in `.bench` or in RANKSPACE_BENCH. What is there is not run again, so a
benchmark that was stopped goes on where it was; after a change of the code the folder is to be
deleted. As many runs go side by side as there are cores; what measures time runs alone.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks import _arms_counts, _peers_text
from benchmarks._arms import Arm
from benchmarks._arms_levels import levels
from benchmarks._arms_networks import Ours
from benchmarks._arms_table import SPECS, missing, shaped
from benchmarks._arms_training import Plan, Result, run, seconds_per_step
from benchmarks._arms_varied import Varied
from benchmarks._text_data import ROOT, Corpus
from rankspace.errors import InvalidInput

PARAMETERS = 3_112_704
"""Of every neural arm, within 3 %: what GPT-2 of Hugging Face has at 6 layers of 192."""

ALONE = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What all runs of a table share."""

    stories: int = 1000
    held_out: int | None = None
    budget: int = 2_000_000
    dropout: float = 0.1
    symbols: int = 2048
    parameters: int = PARAMETERS
    width: int = 192
    depth: int = 6
    context: int = 256
    sampled: int = 16

    @property
    def folder(self) -> Path:
        """Where results lie."""
        told = "-".join(str(value) for value in asdict(self).values())
        home = Path(os.environ.get("RANKSPACE_BENCH", ROOT / ".bench"))
        return home / "sample_efficiency" / told

    def plan(self, seed: int) -> Plan:
        """How a run with this seed goes."""
        return Plan(self.budget, seed, context=self.context, sampled=self.sampled)


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    arm: str
    rate: float = 1.0
    seed: int = 0
    timed: bool = False

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"{self.arm}.{'time' if self.timed else f'{self.rate:g}.{self.seed}'}"


def why_not(arm: str) -> str:
    """Why an arm cannot run here; empty if it can."""
    if arm in _arms_counts.BASELINES:
        return ""
    if arm in _peers_text.ARMS:
        return _peers_text.missing(arm)
    return missing(arm) if arm in SPECS else "no arm of this name"


def built(job: Job, settings: Settings, corpus: Corpus) -> Arm:
    """The neural arm of a job, at its birth."""
    torch.manual_seed(job.seed)
    size = {"width": settings.width, "depth": settings.depth}
    if job.arm in _peers_text.ARMS:
        name = job.arm.removesuffix(_peers_text.STEADY)
        model = _peers_text.build(
            name, corpus.vocabulary.size, settings.context, settings.dropout, **size
        )
        return _peers_text.Peer(model, settings.context, job.rate, name != job.arm)
    spec = SPECS[job.arm]
    config = shaped(
        spec, corpus, settings.context, settings.parameters, **size, dropout=settings.dropout
    )
    return (Varied if spec.varied else Ours)(spec, corpus, config, job.rate)


def work(job: Job, settings: Settings) -> None:
    """Do a run here and now, and write its result."""
    torch.set_num_threads(1)
    settings.folder.mkdir(parents=True, exist_ok=True)
    path = settings.folder / f"{job.name}.json"
    told = path.with_suffix(".progress")
    corpus = Corpus.load(settings.stories, settings.held_out, settings.symbols)
    began = time.perf_counter()

    def progress(share: float) -> None:
        told.write_text(f"{share:.4f}", "utf-8")

    result: Result
    if job.arm in _arms_counts.BASELINES:
        result = _arms_counts.run(job.arm, corpus, job.seed, settings.sampled, progress)
    elif job.timed:
        arm = built(job, settings, corpus)
        birth = time.perf_counter() - began
        plan = settings.plan(job.seed)
        each = seconds_per_step(arm, corpus, plan)
        asked = sum(corpus.train.draw(0, step, plan.rows, plan.context).asked for step in range(8))
        result = {
            "birth_seconds": birth,
            "seconds_per_step": each,
            "seconds_per_token": each / (asked / 8),
        }
    else:
        arm, plan = built(job, settings, corpus), settings.plan(job.seed)
        result = run(arm, corpus, plan, progress)
        if isinstance(arm, Ours):
            result["levels"] = levels(arm, corpus.tune, plan.context, plan.rows)
    whole = {"job": asdict(job), "wall_s": time.perf_counter() - began, **result}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(whole, ensure_ascii=False, indent=1), "utf-8")
    part.replace(path)
    told.unlink(missing_ok=True)


def found(job: Job, settings: Settings) -> dict[str, Any] | None:
    """The result of a run that is finished."""
    path = settings.folder / f"{job.name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def plain(value: Any) -> Any:
    """What JSON can hold: nothing in place of what is no number."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def finish(jobs: Sequence[Job], settings: Settings, side_by_side: int) -> None:
    """Do all of these that are not done; raises InvalidInput naming one that failed."""
    waiting = [job for job in jobs if found(job, settings) is None][::-1]
    if not waiting:
        return
    settings.folder.mkdir(parents=True, exist_ok=True)  # for their logs
    with _bars() as bars, _ending() as running:
        whole = bars.add_task("runs", total=len(waiting))
        tasks: dict[Job, TaskID] = {}
        while waiting or running:
            while waiting and len(running) < side_by_side:
                job = waiting.pop()
                running[job] = _started(job, settings)
                tasks[job] = bars.add_task(job.name, total=1.0)
            time.sleep(0.2)
            for job in [job for job, process in running.items() if process.poll() is not None]:
                code = running.pop(job).returncode
                bars.remove_task(tasks.pop(job))
                bars.advance(whole)
                if code:
                    log = settings.folder / f"{job.name}.log"
                    raise InvalidInput(f"the run {job.name} failed; its last words are in {log}")
            for job, task in tasks.items():
                bars.update(task, completed=_share(job, settings))


def _started(job: Job, settings: Settings) -> subprocess.Popen[bytes]:
    told = json.dumps({"job": asdict(job), "settings": asdict(settings)})
    with (settings.folder / f"{job.name}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "benchmarks.sample_efficiency", "--one", told],
            cwd=ROOT, env=os.environ | ALONE, stdout=log, stderr=log,
        )  # fmt: skip


@contextmanager
def _ending() -> Iterator[dict[Job, subprocess.Popen[bytes]]]:
    """Processes by job; none of them outlives this."""
    running: dict[Job, subprocess.Popen[bytes]] = {}
    try:
        yield running
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def _bars() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    return Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))


def _share(job: Job, settings: Settings) -> float:
    path = settings.folder / f"{job.name}.progress"
    try:
        return float(path.read_text("utf-8") or 0)
    except (FileNotFoundError, ValueError):
        return 0.0
