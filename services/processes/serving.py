"""What each of several server processes does: serve as one alone would, beside others.

It takes its settings from its supervisor and ends with it: also where that was killed, for then the
socket between them ends.
"""

import asyncio
import json
import os
import socket
import sys

import uvloop

from rankspace.config import parse
from rankspace.errors import RankspaceError
from services import telemetry
from services.cluster import RayTrainer
from services.config import ServerConfig
from services.gateway.server import serve
from services.local import LocalEngine
from services.processes.process import LINE_BYTES_MAX


def main() -> None:
    """Serve until the supervisor says or ends; standard input is the socket to it."""
    control = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), 0)
    sys.exit(uvloop.run(_Serving(control).run()))


class _Serving:
    """This process, and the socket to its supervisor."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._stopped = asyncio.Event()
        self._all_serve = asyncio.Event()

    async def run(self) -> int:
        """Serve; the exit status."""
        reader, self._writer = await asyncio.open_connection(
            sock=self._control, limit=LINE_BYTES_MAX
        )
        told = json.loads(await reader.readline())
        config = parse(ServerConfig, told["config"])
        telemetry.start(config.gateway.log_level, process=told["process"])
        listening = asyncio.create_task(self._listen(reader))
        engine = LocalEngine(config.store, RayTrainer(config.store, config.cluster), config.engine)
        try:
            await serve(config.placed, engine, self._stopped, self._beside)
        except RankspaceError as error:
            self._tell({"reason": error.reason(), "message": error.message, "field": error.field})
            return 1
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            self._writer.close()
        return 0

    async def _beside(self) -> None:
        """Say that this process can serve, and wait until all can."""
        self._tell({})
        waits = [asyncio.ensure_future(sign.wait()) for sign in (self._all_serve, self._stopped)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Hear that all serve, then that the supervisor has ended."""
        try:
            while await reader.readline():
                self._all_serve.set()
        except ConnectionError:
            pass
        finally:
            self._stopped.set()

    def _tell(self, message: object) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")
