"""A real server in a process of its own, which tests may kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STARTS_WITHIN_S = 60
RANKSPACE = Path(sys.executable).with_name("rankspace")


class Server:
    """`rankspace serve` on a folder; after a restart it has the same port and the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port_file = folder / "port"
        self._process: subprocess.Popen[bytes] | None = None
        self.address = "127.0.0.1:0"

    @property
    def process_id(self) -> int:
        """Of the server that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def data(self) -> Path:
        """The store's folder."""
        return self._folder / "data"

    def start(self) -> None:
        """Return once it serves."""
        self._port_file.unlink(missing_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [RANKSPACE, "serve", "--address", self.address, "--folder", self._folder / "data"],
                env=os.environ
                | {
                    "RANKSPACE_GATEWAY__PORT_FILE": str(self._port_file),
                    "RANKSPACE_GATEWAY__GRACE_S": "0.5",
                },
                stderr=log,
                stdout=log,
            )
        until = time.monotonic() + STARTS_WITHIN_S
        while not (self._port_file.exists() and self._port_file.read_text()):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)
        self.address = f"127.0.0.1:{self._port_file.read_text().strip()}"

    def end(self, with_signal: signal.Signals) -> int:
        """Send a signal and wait; the exit status."""
        assert self._process is not None
        self._process.send_signal(with_signal)
        return self._process.wait(timeout=30)

    def log(self) -> str:
        """What it said."""
        return (self._folder / "log").read_text("utf-8")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that serves; stopped at the end if the test has not."""
    running = Server(tmp_path)
    running.start()
    yield running
    process = running._process
    if process is not None and process.poll() is None:
        running.end(signal.SIGTERM)


@pytest.fixture
def run(server: Server) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`rankspace ARGUMENTS` against the server."""

    def rankspace(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RANKSPACE, *arguments],
            env=os.environ | {"RANKSPACE_SERVER": server.address},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return rankspace
