"""The demo: serve, ingest, train, ask, report. Everything through the front door.

    start the server ─▶ stream the sample in ─▶ train and watch ─▶ ask, streamed ─▶ report.html

The work folder is emptied first; then it holds the store, the server's log and the report. Words
and bars go to stderr; stdout gets the figures as a table and, as its last line, one JSON object.
"""

import asyncio
import json
import math
import os
import platform
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rankspace.analysis.report import Figure
from rankspace.client import AppendSummary, AsyncClient
from rankspace.errors import Cancelled
from rankspace.media.sample import Part
from rankspace.ranks.space import Space
from rankspace.training.job import Event, JobConfig
from services.demo import sample
from services.demo.asking import ask
from services.demo.figures import Cost, Outcome, as_json, figures
from services.demo.history import Chronicle
from services.demo.judging import Answered, Judges
from services.demo.memory import PeakMemory
from services.demo.pages import page
from services.demo.phases import Bar, JobBars, Phases
from services.demo.questions import Question, Samples, questions
from services.demo.server import running

FOLDER = Path(".rankspace/demo")
JOB = JobConfig(
    streams=sample.STREAMS,
    weights={"digits": 4.2, "photos": 4.4, "spoken": 0.8, "clips": 0.5, "sentences": 0.4},
    model="demo",
    size="tiny",
    steps=780,
    batch_symbols=4032,
    context=192,
    workers=min(2, os.cpu_count() or 1),
    patience=0,
    evaluate_every=780,
)
"""A small network and short sequences: what two cores learn in two minutes. Digits, photos and
speech are what the figures are of, so they count for more; no early stop, since what is held out
is mostly text."""


def main(folder: Path = FOLDER) -> None:
    """Run it; exit status 1 if a bound is missed, 130 if it was interrupted."""
    words = Console(stderr=True, highlight=False)
    try:
        outcome = asyncio.run(_stoppable(folder))
    except (KeyboardInterrupt, asyncio.CancelledError):
        words.print("interrupted; the server has been stopped")
        raise SystemExit(130) from None
    rows = figures(outcome)
    Console(highlight=False, width=None if sys.stdout.isatty() else 140).print(table(rows))
    words.print(f"the report is {folder / 'report.html'}", soft_wrap=True)
    sys.stdout.write(json.dumps(as_json(outcome), ensure_ascii=False) + "\n")
    sys.stdout.flush()
    if not all(row.held for row in rows):
        raise SystemExit(1)


async def _stoppable(folder: Path) -> Outcome:
    """The run; SIGTERM ends it as Ctrl-C does, so that no server is left behind."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(folder)


async def run(folder: Path, job: JobConfig = JOB) -> Outcome:
    """The five steps; what came of them."""
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    samples = {name: tuple(sample.samples(name)) for name in job.streams}
    chronicle = Chronicle()
    async with AsyncExitStack() as stack:
        phases = stack.enter_context(Phases())
        memory = stack.enter_context(PeakMemory(os.getpid()))
        with phases.phase("serve", "until its health is SERVING"):
            server = await stack.enter_async_context(running(folder))
            client = await stack.enter_async_context(AsyncClient(server.address))
        with phases.phase("ingest") as bar:
            await ingest(client, samples, bar)
        with phases.phase("train") as bar:
            await train(client, job, chronicle, JobBars(phases, bar))
        with phases.phase("ask") as bar:
            answers = await answer(client, samples, bar)
        with phases.phase("judge"):
            answered, trust = await asyncio.to_thread(judge, samples, answers)
        with phases.phase("report"):
            version = await client.export_model_version(job.alias, folder / "model")
        metrics = chronicle.metrics | version.lineage.get("metrics", {})
        outcome = Outcome(answered, metrics, trust, Cost(phases.seconds, memory.gigabytes))
        facts = {
            "model": version.reference,
            "samples": f"{sum(map(len, samples.values())):,} in {len(samples)} streams",
            "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, {platform.system()}",
        }
        html = page(outcome, chronicle, Space.load(folder / "model"), facts)
        (folder / "report.html").write_text(html, "utf-8")
    return outcome


async def ingest(client: AsyncClient, samples: Samples, bar: Bar) -> None:
    """Stream every stream in, and close it."""
    total = sum(map(len, samples.values()))
    done = 0
    for name, ones in samples.items():
        await client.create_stream(name)

        def show(summary: AppendSummary, before: int = done) -> None:
            bar.move((before + summary.samples) / total, f"{before + summary.samples:,} samples")

        summary = await client.append(name, ones, progress=show)
        for refused in summary.errors:
            raise refused.error
        await client.finalize_stream(name)
        done += len(ones)


async def train(client: AsyncClient, job: JobConfig, chronicle: Chronicle, bars: JobBars) -> None:
    """Submit the job and watch it to its end; a job that fails is an error."""
    submitted = await client.create_job(job)
    async for report in client.watch_job(submitted.job_id):
        event = chronicle.add(report)
        bars.show(event, told(event))
        if event.state in ("failed", "cancelled"):
            raise Cancelled(f"training {event.state}: {event.message}")


def told(event: Event) -> str:
    """An event in one line."""
    if event.phase != "training":
        return f"{event.phase} {event.progress:.0%} {event.message}"
    losses = " ".join(f"{name} {loss:.2f}" for name, loss in event.source_losses.items())
    weights = " ".join(f"{weight:.2f}" for weight in event.source_weights.values())
    return (
        f"step {event.step}/{event.steps} · loss {losses} · weights {weights} · "
        f"β {event.betas.get('mixture', math.nan):.2f} · "
        f"{event.symbols_per_s:,.0f} symbols/s · {event.eta_s:.0f} s left"
    )


async def answer(client: AsyncClient, samples: Samples, bar: Bar) -> list[tuple[Question, Part]]:
    """Ask everything."""
    asked = await asyncio.to_thread(questions, samples)
    answers = await ask(client, asked, lambda: bar.step(1 / len(asked)))
    return list(zip(asked, answers, strict=True))


def judge(
    samples: Samples, answers: Sequence[tuple[Question, Part]]
) -> tuple[dict[str, list[Answered]], dict[str, float]]:
    """The marks by group of questions, and how far the judges can be believed."""
    judges = Judges(samples)
    groups: dict[str, list[Answered]] = {}
    for question, part in answers:
        groups.setdefault(question.group, []).append(judges.judge(question, part))
    return groups, judges.trust()


def table(rows: Sequence[Figure]) -> Table:
    """The figures for people."""
    drawn = Table("figure", "value", "bound", "", "how", box=None, header_style="bold")
    for row in rows:
        mark = "" if not row.bound else "held" if row.held else "[bold red]missed"
        drawn.add_row(row.name, f"{row.value:.4g}", row.bound, mark, row.meaning)
    return drawn
