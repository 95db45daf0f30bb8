"""The network under test: a TCP proxy that cuts, holds and loses.

Bytes cannot be reordered within HTTP/2, so what clients see of a bad network is this: a connection
that breaks, one that stands still, and one on which requests arrive but no answers come back. What
is sent again after that reaches the server as duplicates, delayed and out of order.
"""

import asyncio


class Proxy:
    """Stands between clients and a server that may come back on another port."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._forth, self._back = asyncio.Event(), asyncio.Event()

    async def start(self) -> None:
        """Listen on a port of the system's choice."""
        self._open()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut everything and listen no more."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._open()

    def shut(self) -> None:
        """Let nothing through from now on, until connections are cut."""
        self._forth.clear()
        self._back.clear()

    async def hold(self, seconds: float) -> None:
        """Let nothing through for a while."""
        self._forth.clear()
        self._back.clear()
        await asyncio.sleep(seconds)
        self._open()

    async def lose_answers(self, seconds: float) -> None:
        """Let requests through and no answers for a while, then break every connection."""
        self._back.clear()
        await asyncio.sleep(seconds)
        self.cut()

    def _open(self) -> None:
        self._forth.set()
        self._back.set()

    async def _accept(self, near: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            far, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client.transport.abort()
            return
        self._writers |= {client, server}
        for pump in (self._pump(near, server, self._forth), self._pump(far, client, self._back)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        try:
            while data := await source.read(1 << 16):
                await gate.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # one end was cut; so is the other
        finally:
            self._writers.discard(sink)
            sink.transport.abort()
