"""One of several server processes, as its supervisor sees it.

Between the two is a socket. Lines of JSON go down it: the settings first, an empty object once all
processes serve. One line comes up: an empty object when this one can serve, else what keeps it from
that. When either side ends, however that is, the other one reads the end of the socket.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from rankspace.errors import RankspaceError, Unreachable, tree
from services.config import ServerConfig

LINE_BYTES_MAX = 16 << 20
POLL_S = 0.02


class Process:
    """A server process. `start` it; after `ended` it may be started again."""

    def __init__(self, number: int, config: ServerConfig) -> None:
        self.number = number
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        """Return once it can serve; raise what keeps it from that."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.to_thread(_spawn, theirs)
        except OSError as error:
            ours.close()
            raise Unreachable(f"no process can be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES_MAX)
        self._tell({"process": self.number, "config": self._config.model_dump(mode="json")})
        line = await self._heard()
        if not line:
            status = await self.ended()
            raise Unreachable(
                f"process {self.number} ended with status {status} before it served; "
                "the log says more"
            )
        if told := json.loads(line):
            await self.ended()
            raise _error(told)

    def all_serve(self) -> None:
        """Tell it that all processes serve."""
        self._tell({})

    async def ended(self) -> int:
        """Wait until it has ended; its exit status."""
        while await self._heard():
            continue
        if self._writer is not None:
            self._writer.close()
        while (status := self._status()) is None:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(POLL_S)
        return status

    async def end(self, within_s: float) -> int:
        """Let it drain; kill it if that takes too long. Its exit status."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            async with asyncio.timeout(within_s):
                return await self.ended()
        except TimeoutError:
            self._process.kill()
            return await self.ended()

    def _tell(self, message: object) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _heard(self) -> bytes:
        try:
            return await self._reader.readline() if self._reader is not None else b""
        except ConnectionError:  # it died with something unread
            return b""

    def _status(self) -> int | None:
        return self._process.poll() if self._process is not None else 0


def _spawn(control: socket.socket) -> "subprocess.Popen[bytes]":
    """A bare interpreter: nothing of the supervisor's memory or threads is in it."""
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", "from services.processes.serving import main; main()"],
        stdin=control.fileno(),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # Ctrl-C is for the supervisor, which passes it on
    )


def _error(told: dict[str, str]) -> RankspaceError:
    """The error that kept a process from serving."""
    kinds = {kind.reason(): kind for kind in tree()}
    return kinds.get(told["reason"], RankspaceError)(told["message"], told["field"])
