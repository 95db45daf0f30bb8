"""One run: a server, random clients, random faults, then peace, a last look, and the verdict.

At one seed clients and faults draw the same numbers; how processes and packets interleave is the
machine's. What failed is kept: the history as JSON lines, the store and the server's log.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.postgres import Postgres
from tests.robustness.calls import Caller
from tests.robustness.cast import CASTS, Cast, settings
from tests.robustness.checker import violations
from tests.robustness.damage import tried
from tests.robustness.evidence import NEVER
from tests.robustness.faults import FAULTS, POSSIBLE, Front, System
from tests.robustness.history import Recorder
from tests.robustness.keepers import listed
from tests.robustness.laws_keeping import RETAINED
from tests.robustness.powercut import COMPILER, Disk
from tests.robustness.server import TREE, Gone, Server

SETTLES_WITHIN_S = 20
LATE_S = 4.0
"""Longest wait for appends before the next fault."""


@dataclass(frozen=True)
class Plan:
    """What to do to which copy of the product."""

    folder: Path
    """Everything of the run lies here."""

    seed: int
    seconds: float = 5.0
    faults: tuple[str, ...] = POSSIBLE
    """Those of `faults.py`; "damage" damages copies of the store in the end."""

    casts: tuple[str, ...] = CASTS
    """Those of `cast.py`."""

    tree: Path = TREE
    damages: int = 30
    """Copies of the store that "damage" damages."""

    postgres: Postgres | None = None
    """Two servers on this one, instead of one on SQLite."""


@dataclass(frozen=True)
class Report:
    """What happened."""

    plan: Plan
    violations: list[str]
    faults: Counter[str]
    operations: Counter[tuple[str, str]]
    samples: int
    seconds: float


async def campaign(plan: Plan) -> Report:
    """Run a plan to its verdict."""
    began = time.monotonic()
    plan.folder.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(plan.folder / "history.jsonl")
    system = _system(plan, recorder)
    wrong: list[str] = []
    try:
        await system.start()
        cast = await _clients_and_faults(plan, system, recorder)
        await _last_look(system, recorder, cast)
    except Gone as error:
        wrong.append(f"the server does not start: {str(error).splitlines()[-1:]}")
    finally:
        await system.close()
        recorder.close()
    wrong += violations(recorder.operations)
    if "damage" in plan.faults and not wrong:
        data, scratch = plan.folder / "data", plan.folder / "damaged"
        wrong += filter(None, tried(data, scratch, system.chance, plan.damages))
        system.done["damage"] += plan.damages
    samples = sum(len(one.keys) for one in recorder.operations if one.client == "last")
    seconds = time.monotonic() - began
    return Report(plan, wrong, system.done, recorder.counts(), samples, seconds)


def _system(plan: Plan, recorder: Recorder) -> System:
    disk, data = None, plan.folder / "data"
    environment = settings(plan.casts)
    if plan.postgres is not None:
        environment["RANKSPACE_STORE__URL"] = plan.postgres.fresh()
    elif COMPILER:  # whatever the faults: its slow syncs make rare moments long
        disk = Disk(data, plan.folder / "disk", plan.seed)
        environment |= disk.environment
    fronts = [
        Front(Server(plan.folder / f"server{at}", data, plan.tree, environment))
        for at in range(1 if plan.postgres is None else 2)
    ]
    return System(fronts, random.Random(plan.seed), recorder, disk, plan.postgres)


async def _clients_and_faults(plan: Plan, system: System, recorder: Recorder) -> Cast:
    callers: list[Caller] = []

    def caller(name: str) -> Caller:
        front = system.fronts[len(callers) % len(system.fronts)]
        proxy = front.aside if name.startswith("loose") else front.proxy
        callers.append(Caller(name, proxy.port, recorder))
        return callers[-1]

    cast = Cast(plan.casts, plan.seed, plan.seconds, caller)
    await cast.create(caller("maker"))
    work = [asyncio.create_task(one) for one in cast.work()]
    try:
        await _faults(plan, system, recorder, work)
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        for one in callers:
            await one.close()
    return cast


async def _faults(
    plan: Plan, system: System, recorder: Recorder, work: list[asyncio.Task[None]]
) -> None:
    """One fault after the other, each when some appends have been stored since the last one."""
    began = time.monotonic()
    until = began + plan.seconds
    faults = [name for name in plan.faults if name in FAULTS]
    if not faults and "damage" in plan.faults:
        faults = ["terminate"]  # so that the log has been brought into the database once
    while time.monotonic() < until:
        wanted, late = recorder.stored + system.chance.randint(5, 50), time.monotonic() + LATE_S
        await asyncio.sleep(system.moment())
        while recorder.stored < wanted and time.monotonic() < late:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
        if time.monotonic() > began + plan.seconds / 2:
            system.set(settings(plan.casts, lenient=True))
        if faults:
            await system.inject(system.chance.choice(faults))
        for task in work:
            if task.done():
                task.result()  # a client of ours that broke is no finding


async def _last_look(system: System, recorder: Recorder, cast: Cast) -> None:
    """Start the server once more and read everything, directly."""
    for front in system.fronts:
        front.server.kill()
    system.cut_power()
    await system.fronts[0].start()
    caller = Caller("last", system.fronts[0].server.port, recorder)
    until = time.monotonic() + SETTLES_WITHIN_S
    await _expired(caller, [name for name in cast.streams if name in RETAINED], until)
    for stream in [*cast.streams, *cast.eras]:
        whole = final = False
        while not whole and not final:
            final = time.monotonic() > until
            looked = await caller.figures("look", stream)
            _, whole = await caller.read(stream, 0) if looked else (0, False)
            if not whole:
                final |= recorder.operations[-1].reason != "UNREACHABLE"
                await asyncio.sleep(0.5)
        if stream == "kept" and whole:
            await listed(caller, stream)
    await caller.close()


async def _expired(caller: Caller, streams: list[str], until: float) -> None:
    """Wait for what is not to be kept to go."""
    for stream in streams:
        kept = NEVER
        while kept > RETAINED[stream][1] and time.monotonic() < until:
            if await caller.figures("look", stream):
                kept = caller.recorder.operations[-1].kept_bytes
            await asyncio.sleep(0.2)
