"""One run: a server, random clients, random faults, then peace, a last look, and the verdict.

At one seed clients and faults draw the same numbers; how processes and packets interleave is the
machine's. What failed is kept: the history as JSON lines, the store and the server's log.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankspace.v1 import ingestion_pb2 as pb
from tests.robustness import clients
from tests.robustness.calls import Caller
from tests.robustness.checker import violations
from tests.robustness.faults import OF_THE_DISK, POSSIBLE, System
from tests.robustness.history import Recorder
from tests.robustness.powercut import Disk
from tests.robustness.proxy import Proxy
from tests.robustness.server import TREE, Gone, Server

STREAMS = ("twins", "rivals", "plain", "sdk", "closed")
SETTLES_WITHIN_S = 5


@dataclass(frozen=True)
class Plan:
    """What to do to which copy of the product."""

    folder: Path
    """Everything of the run lies here."""

    seed: int
    seconds: float = 5.0
    faults: tuple[str, ...] = POSSIBLE
    tree: Path = TREE
    pause_s: float = 0.6
    """Longest time between two faults."""

    environment: dict[str, str] = field(default_factory=dict)


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
    system = _system(plan)
    wrong: list[str] = []
    try:
        await system.proxy.start()
        await system.start()
        await _clients_and_faults(plan, system, recorder)
        await _last_look(system, recorder)
    except Gone as error:
        wrong.append(f"the server does not start: {str(error).splitlines()[-1:]}")
    finally:
        await system.proxy.close()
        system.server.kill()
        recorder.close()
    wrong += violations(recorder.operations)
    samples = sum(len(one.keys) for one in recorder.operations if one.client == "last")
    seconds = time.monotonic() - began
    return Report(plan, wrong, system.done, recorder.counts(), samples, seconds)


def _system(plan: Plan) -> System:
    disk = None
    environment = dict(plan.environment)
    if OF_THE_DISK & {*plan.faults}:
        data = plan.folder / "server" / "data"
        disk = Disk(data, plan.folder / "disk", plan.seed)
        environment |= disk.environment
    server = Server(plan.folder / "server", plan.tree, environment)
    return System(server, Proxy(), random.Random(plan.seed), disk)


async def _clients_and_faults(plan: Plan, system: System, recorder: Recorder) -> None:
    callers: list[Caller] = []

    def caller(name: str) -> Caller:
        callers.append(Caller(name, system.proxy.port, recorder))
        return callers[-1]

    await _create(caller("maker"))
    work = [asyncio.create_task(one) for one in _work(plan, caller)]
    try:
        until = time.monotonic() + plan.seconds
        while time.monotonic() < until:
            await asyncio.sleep(0.1 + system.moment(plan.pause_s))
            if plan.faults:
                await system.inject(system.chance.choice(plan.faults))
            for task in work:
                if task.done():
                    task.result()  # a client of ours that broke is no finding
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        for one in callers:
            await one.close()


def _work(plan: Plan, caller: Any) -> list[Coroutine[Any, Any, None]]:
    def chance(name: str) -> random.Random:
        return random.Random(f"{plan.seed} {name}")

    def twin(name: str, stream: str) -> Coroutine[Any, Any, None]:
        cut = clients.twin(stream, chance(name))
        return clients.write(caller(name), stream, cut, chance(f"{name} calls"))

    def own(name: str, stream: str, places: bool) -> Coroutine[Any, Any, None]:
        cut = clients.own(name, chance(name), places)
        return clients.write(caller(name), stream, cut, chance(f"{name} calls"))

    return [
        *(twin(f"twin{number}", "twins") for number in range(3)),
        *(twin(f"closing{number}", "closed") for number in range(2)),
        *(own(f"rival{number}", "rivals", True) for number in range(3)),
        own("guest", "rivals", True),
        *(own(f"plain{number}", "plain", False) for number in range(2)),
        clients.use_sdk(caller("sdk"), "sdk", chance("sdk")),
        *(clients.read(caller(f"reader{at}"), [*STREAMS], chance(f"reader{at}")) for at in (0, 1)),
        clients.close_midway(caller("closer"), "closed", plan.seconds * 0.6),
    ]


async def _create(caller: Caller) -> None:
    for stream in STREAMS:
        await caller.stub.CreateStream(pb.CreateStreamRequest(stream_id=stream))


async def _last_look(system: System, recorder: Recorder) -> None:
    """Start the server once more and read everything, directly."""
    system.server.kill()
    if system.disk is not None:
        system.disk.set()
        system.disk.cut()
    await system.start()
    caller = Caller("last", system.server.port, recorder)
    for stream in STREAMS:
        until, whole = time.monotonic() + SETTLES_WITHIN_S, False
        while not whole and time.monotonic() < until:
            looked = await caller.figures("look", stream)
            _, whole = await caller.read(stream, 0) if looked else (0, False)
            await asyncio.sleep(0 if whole else 0.5)
    await caller.close()
