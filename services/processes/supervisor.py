"""The supervisor: starts server processes on one port, starts again what dies, ends them all.

The first process starts alone: it makes the store and its tables where there are none, and what is
wrong with the settings is said once. Health says SERVING once all serve. From then on a process
that ends by itself is started again, after a wait that doubles while it keeps failing; the others
serve meanwhile and say so.
"""

import asyncio
import os
import signal
import time
from pathlib import Path

import structlog

from rankspace.errors import RankspaceError
from services.config import ServerConfig
from services.processes.port import reserved
from services.processes.process import Process

AGAIN_S = 0.2
"""How long the first new start waits."""

AGAIN_S_MAX = 30.0
STEADY_S = 60.0
"""A process that served for so long is no longer one that keeps failing."""

END_S = 30.0
"""How long a process may take to end, beyond the grace of its calls and the end of its jobs."""

log = structlog.get_logger()


async def supervise(config: ServerConfig) -> int:
    """Serve with several processes until SIGTERM or SIGINT, then drain them all; the exit status.

    Raises what keeps the processes from serving.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    with reserved(config.gateway.address) as address:
        supervisor = Supervisor(config, address)
        try:
            await supervisor.run(stopped)
        finally:
            statuses = await supervisor.end()
    log.info("closed", statuses=statuses)
    # One that was still starting knows no drain: the signal ended it, and it had no calls.
    return int(any(status not in (0, -signal.SIGTERM) for status in statuses))


class Supervisor:
    """The processes of one server."""

    def __init__(self, config: ServerConfig, address: str) -> None:
        self._config = config
        self._address = address
        self._processes = [
            Process(number, beside(config, address, number))
            for number in range(1, config.server.number + 1)
        ]
        self._end_s = config.gateway.grace_s + config.cluster.stop_s + END_S

    async def run(self, stopped: asyncio.Event) -> None:
        """Start all processes and keep them; return when it is time to end them."""
        stop = asyncio.ensure_future(stopped.wait())
        work = asyncio.create_task(self._work())
        await asyncio.wait((stop, work), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if work.done():
            work.result()  # which raises: the work has no other end
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def end(self) -> list[int]:
        """Let all processes drain, at the same time; their exit statuses."""
        return await asyncio.gather(*(process.end(self._end_s) for process in self._processes))

    async def _work(self) -> None:
        first, *others = self._processes
        await first.start()
        starts = (process.start() for process in others)
        for failure in await asyncio.gather(*starts, return_exceptions=True):
            if failure is not None:
                raise failure
        for process in self._processes:
            process.all_serve()
        if port_file := self._config.gateway.port_file:
            await asyncio.to_thread(_write, port_file, self._address.rpartition(":")[2])
        log.info("serving", address=self._address, processes=len(self._processes))
        async with asyncio.TaskGroup() as keeping:
            for process in self._processes:
                keeping.create_task(self._keep(process))

    async def _keep(self, process: Process) -> None:
        """Start a process again whenever it has ended."""
        wait_s = AGAIN_S
        while True:
            began = time.monotonic()
            status = await process.ended()
            if time.monotonic() - began >= STEADY_S:
                wait_s = AGAIN_S
            log.error("a process ended", process=process.number, status=status, again_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S_MAX)
            try:
                await process.start()
            except RankspaceError as error:
                log.error("a process cannot start", process=process.number, problem=str(error))
            else:
                process.all_serve()
                log.info("a process serves again", process=process.number)


def beside(config: ServerConfig, address: str, number: int) -> ServerConfig:
    """The settings of one process: the port is shared, that of its metrics is its own."""
    own: dict[str, object] = {"address": address, "port_file": None}
    host, _, port = config.gateway.metrics_address.rpartition(":")
    if port.isdecimal() and int(port):
        own["metrics_address"] = f"{host}:{int(port) + number - 1}"
    return config.model_copy(update={"gateway": config.gateway.model_copy(update=own)})


def _write(path: Path, port: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(f"{port}\n", "ascii")
    part.replace(path)
