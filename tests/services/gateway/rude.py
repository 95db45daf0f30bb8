"""A raw HTTP/2 client without manners, and a server in a process of its own to try them on."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
from h2.exceptions import ProtocolError

LIST = "/rankspace.v1.IngestionService/ListStreams"
GENERATE = "/rankspace.v1.GenerationService/Generate"
FRAME = b"\0\0\0\0\0"
"""An empty gRPC message."""

HEADER = 9
"""Bytes before what an HTTP/2 frame holds; the first three tell how much that is."""

PROGRAM = """
import sys
from pathlib import Path
import uvloop
from rankspace.config import parse
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from services.gateway.config import GatewayConfig
from services.gateway.server import serve
from tests.services.parrot import ParrotEngine
import json
folder = Path(sys.argv[1])
values = {"address": "127.0.0.1:0", "port_file": str(folder / "port"), "grace_s": 0.0,
          "log_level": "error"}
config = parse(GatewayConfig, values | json.loads(sys.argv[2]))
uvloop.run(serve(config, ParrotEngine(Store.open(StoreConfig(folder=folder / "store")))))
"""


class Served:
    """The server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port

    def memory_mb(self) -> float:
        """What it holds now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None


@contextmanager
def served(folder: Path, settings: str = "{}") -> Iterator[Served]:
    """A server with these settings (JSON), for the length of the block."""
    command = [sys.executable, "-c", PROGRAM, str(folder), settings]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as process:
        try:
            ready = folder / "port"
            until = time.monotonic() + 60
            while not (ready.exists() and ready.read_text()):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
            yield Served(process, int(ready.read_text()))
        finally:
            process.kill()


class Rude:
    """One connection, frame by frame."""

    def __init__(self, port: int, begin: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self._left = b""
        if begin:
            self.protocol.initiate_connection()
            self.flush()

    def flush(self) -> None:
        """Send what is to be sent."""
        self.socket.sendall(self.protocol.data_to_send())

    def call(self, path: str, more: tuple[tuple[str, str], ...] = ()) -> int:
        """Begin a call, without a message; its stream."""
        stream = self.protocol.get_next_available_stream_id()
        headers = [
            (":method", "POST"), (":scheme", "http"), (":authority", "localhost"),
            (":path", path), ("te", "trailers"), ("content-type", "application/grpc"), *more,
        ]  # fmt: skip
        self.protocol.send_headers(stream, headers)
        return stream

    def events(self, within_s: float) -> Iterator[h2.events.Event]:
        """What the server says, until it hangs up or says nothing for so long."""
        self.socket.settimeout(within_s)
        while True:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return
            except ConnectionError:
                data = b""
            if not data:
                return
            try:
                yield from self._parsed(data)
            except ProtocolError:
                return  # a frame after the farewell, which h2 does not take

    def _parsed(self, data: bytes) -> Iterator[h2.events.Event]:
        """The events of each frame on its own: one that h2 refuses must not hide those before."""
        self._left += data
        while len(self._left) >= HEADER:
            end = HEADER + int.from_bytes(self._left[:3], "big")
            if len(self._left) < end:
                return
            frame, self._left = self._left[:end], self._left[end:]
            yield from self.protocol.receive_data(frame)

    def hung_up(self, within_s: float) -> bool:
        """Whether the server closes the connection in time; what it says is passed over."""
        until = time.monotonic() + within_s
        while (left := until - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(65536):
                    return True
            except TimeoutError:
                return False
            except ConnectionError:
                return True
        return False

    def close(self) -> None:
        """Hang up."""
        self.socket.close()
