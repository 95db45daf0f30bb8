"""What is done to a running system, one fault at a time, and how each is mended.

    kill       kill -9, start again            pause  SIGSTOP, SIGCONT
    terminate  SIGTERM, start again            cut    break every connection
    hold       let nothing through             lose   let requests through, no answers
    power      cut the power, start again      full   fill the disk for a while
    syncs      let some syncs fail, then kill -9 or cut the power: what failed may be lost or not
    postgres   stop the database that servers share, cleanly or as in a crash, and start it again
    usurp      SIGSTOP one of two servers, take a stream over at the other one, SIGCONT

Those of the disk need a C compiler, the last two a PostgreSQL.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.postgres import Postgres
from tests.robustness.appending import Appending
from tests.robustness.calls import Caller, Ended
from tests.robustness.cast import STRICT
from tests.robustness.checker import EVERYTHING
from tests.robustness.history import Operation, Recorder, now
from tests.robustness.powercut import COMPILER, Disk
from tests.robustness.proxy import Proxy
from tests.robustness.server import Server

USURPS_WITHIN_S = 2.0


@dataclass(frozen=True)
class Front:
    """A server and the network before it."""

    server: Server
    proxy: Proxy = field(default_factory=Proxy)
    aside: Proxy = field(default_factory=Proxy)
    """Another way to it, on which nothing is ever hurt."""

    async def start(self) -> None:
        """Start the server and lead the network to it."""
        await self.server.start()
        self.proxy.target = self.aside.target = self.server.port


@dataclass
class System:
    """Servers of one store, the disk below them or the database that they share."""

    fronts: list[Front]
    chance: random.Random
    recorder: Recorder
    disk: Disk | None = None
    postgres: Postgres | None = None
    done: Counter[str] = field(default_factory=Counter)

    async def start(self) -> None:
        """Start everything."""
        for front in self.fronts:
            await front.proxy.start()
            await front.aside.start()
            await front.start()

    async def close(self) -> None:
        """Stop everything."""
        for front in self.fronts:
            await front.proxy.close()
            await front.aside.close()
            front.server.kill()

    def set(self, environment: Mapping[str, str]) -> None:
        """What the servers are set to when they start again."""
        for front in self.fronts:
            for name in STRICT.keys() - environment.keys():
                front.server.environment.pop(name, None)

    def cut_power(self) -> None:
        """What was not synced is lost, or part of it, where there is a disk; no server may run."""
        if self.disk is not None:
            self.disk.set()
            began = now()
            self.disk.cut()
            self.note_cut(began)

    def note_cut(self, began: int) -> None:
        """From `began` until now something was lost that was not on the disk."""
        self.recorder.add(Operation("fault", "power", EVERYTHING, began, now()))

    @property
    def front(self) -> Front:
        """The one that is hurt next."""
        return self.chance.choice(self.fronts)

    async def inject(self, name: str) -> None:
        """Do one fault and mend it."""
        self.done[name] += 1
        await FAULTS[name](self)

    def moment(self, longest_s: float = 0.8) -> float:
        """A random time."""
        return self.chance.random() * longest_s


async def kill(system: System) -> None:
    """The process ends where it stands."""
    front = system.front
    front.server.kill()
    await asyncio.sleep(system.moment(0.1))
    await front.start()


async def terminate(system: System) -> None:
    """The process is asked to end."""
    front = system.front
    await front.server.terminate()
    await front.start()


async def pause(system: System) -> None:
    """The process stands still."""
    front = system.front
    front.server.pause()
    await asyncio.sleep(system.moment())
    front.server.resume()


async def cut(system: System) -> None:
    """Connections break."""
    system.front.proxy.cut()


async def hold(system: System) -> None:
    """The network stands still."""
    await system.front.proxy.hold(system.moment())


async def lose(system: System) -> None:
    """Answers are lost."""
    await system.front.proxy.lose_answers(system.moment())


async def power(system: System) -> None:
    """The machine is off at once; what was not synced is lost, or part of it."""
    (front,) = system.fronts
    began = await _quiet(system)
    front.server.kill()
    _disk(system).cut()
    system.note_cut(began)
    await front.start()


async def _quiet(system: System) -> int:
    """At times, let only those write whose appends are not synced; the time after that."""
    if system.chance.random() < 0.5:
        for front in system.fronts:
            front.proxy.shut()
        await asyncio.sleep(system.moment(0.3))
        for front in system.fronts:
            front.proxy.cut()
    return now()


async def full(system: System) -> None:
    """The disk has little room, then enough again."""
    _disk(system).set(room=system.chance.randint(0, 60_000))
    await asyncio.sleep(system.moment())
    _disk(system).set()


async def syncs(system: System) -> None:
    """All syncs of the database fail, then the process is killed; or some syncs, then the power.

    After a kill the page cache has what the disk may not have: a cut that follows may take it.
    """
    (front,) = system.fronts
    killed = system.chance.random() < 0.5
    failing = 1000 if killed else system.chance.choice([100, 400, 1000])
    _disk(system).set(failing=failing, database_only=killed)
    await asyncio.sleep(system.moment())
    if killed:  # what failed to be committed is in the page cache, and stays
        front.server.kill()
    _disk(system).set()
    if not killed:
        await asyncio.sleep(system.moment(0.2))
    await (front.start() if killed else power(system))


async def postgres(system: System) -> None:
    """The database stops, cleanly or as in a crash, and comes back."""
    assert system.postgres is not None, "this fault needs a PostgreSQL"
    how = system.chance.choice([signal.SIGINT, signal.SIGQUIT])
    began = await _quiet(system) if how == signal.SIGQUIT else now()
    await asyncio.to_thread(system.postgres.end, how)
    if how == signal.SIGQUIT:
        system.note_cut(began)
    await asyncio.sleep(system.moment(0.3))
    system.postgres.start()  # not in a thread: it would end with the thread that started it


async def usurp(system: System) -> None:
    """One server stands still while a writer takes a stream over at the other; then it goes on."""
    stopped, other = system.chance.sample(system.fronts, 2)
    stopped.server.pause()
    caller = Caller("usurper", other.aside.port, system.recorder)
    appending = Appending(caller, "rivals")
    try:
        async with asyncio.timeout(USURPS_WITHIN_S):
            at, _ = await appending.open(take_over=True)
            await appending.send(at, [f"usurper.{system.done['usurp']}.t"])
            await appending.hear()
    except (Ended, TimeoutError):  # it may hold a lock in the database
        await asyncio.sleep(0)
    finally:
        stopped.server.resume()
        await appending.close()
        await caller.close()


def _disk(system: System) -> Disk:
    assert system.disk is not None, "this fault needs a disk that can fail"
    return system.disk


FAULTS: dict[str, Callable[[System], Awaitable[None]]] = {
    "kill": kill, "terminate": terminate, "pause": pause, "cut": cut, "hold": hold, "lose": lose,
    "power": power, "full": full, "syncs": syncs, "postgres": postgres,
    "usurp": usurp,
}  # fmt: skip
OF_THE_DISK = frozenset({"power", "full", "syncs"})
OF_TWO = frozenset({"postgres", "usurp"})
OF_ONE = tuple(name for name in FAULTS if name not in OF_TWO)
POSSIBLE = tuple(name for name in OF_ONE if COMPILER or name not in OF_THE_DISK)
"""Faults of a server with a store of its own."""

SHARED = tuple(name for name in FAULTS if name not in OF_THE_DISK)
"""Faults of servers that share a PostgreSQL."""
