"""What is done to a running system, one fault at a time, and how each is mended.

kill       kill -9, start again              pause      SIGSTOP, SIGCONT
terminate  SIGTERM, start again              cut        break every connection
hold       let nothing through               lose       let requests through, no answers
power      cut the power, start again        full       fill the disk for a while
syncs      let some syncs fail, then cut the power: what failed may be lost or not
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.robustness.powercut import COMPILER, Disk
from tests.robustness.proxy import Proxy
from tests.robustness.server import Server


@dataclass
class System:
    """One server, the network before it and the disk below it."""

    server: Server
    proxy: Proxy
    chance: random.Random
    disk: Disk | None = None
    done: Counter[str] = field(default_factory=Counter)

    async def start(self) -> None:
        """Start the server and lead the network to it."""
        await self.server.start()
        self.proxy.target = self.server.port

    async def inject(self, name: str) -> None:
        """Do one fault and mend it."""
        self.done[name] += 1
        await FAULTS[name](self)

    def moment(self, longest_s: float = 0.8) -> float:
        """A random time."""
        return self.chance.random() * longest_s


async def kill(system: System) -> None:
    """The process ends where it stands."""
    system.server.kill()
    await asyncio.sleep(system.moment(0.1))
    await system.start()


async def terminate(system: System) -> None:
    """The process is asked to end."""
    await system.server.terminate()
    await system.start()


async def pause(system: System) -> None:
    """The process stands still."""
    system.server.pause()
    await asyncio.sleep(system.moment())
    system.server.resume()


async def cut(system: System) -> None:
    """Connections break."""
    system.proxy.cut()


async def hold(system: System) -> None:
    """The network stands still."""
    await system.proxy.hold(system.moment())


async def lose(system: System) -> None:
    """Answers are lost."""
    await system.proxy.lose_answers(system.moment())


async def power(system: System) -> None:
    """The machine is off at once; what was not synced is lost, or part of it."""
    system.server.kill()
    _disk(system).cut()
    await system.start()


async def full(system: System) -> None:
    """The disk has little room, then enough again."""
    _disk(system).set(room=system.chance.randint(0, 60_000))
    await asyncio.sleep(system.moment())
    _disk(system).set()


async def syncs(system: System) -> None:
    """Syncs fail for a while; then the power is cut."""
    _disk(system).set(failing=system.chance.choice([100, 400, 1000]))
    await asyncio.sleep(system.moment())
    _disk(system).set()
    await asyncio.sleep(system.moment(0.2))
    await power(system)


def _disk(system: System) -> Disk:
    assert system.disk is not None, "this fault needs a disk that can fail"
    return system.disk


FAULTS: dict[str, Callable[[System], Awaitable[None]]] = {
    "kill": kill, "terminate": terminate, "pause": pause, "cut": cut, "hold": hold, "lose": lose,
    "power": power, "full": full, "syncs": syncs,
}  # fmt: skip
OF_THE_DISK = frozenset({"power", "full", "syncs"})
POSSIBLE = tuple(name for name in FAULTS if COMPILER or name not in OF_THE_DISK)
