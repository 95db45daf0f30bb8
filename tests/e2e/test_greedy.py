"""Two hundred connections, each trying to send a gigabyte: the server serves, and stays small."""

import subprocess
import sys
from pathlib import Path

import pytest

from rankspace.client import Client
from tests.e2e.conftest import Server

CONNECTIONS = 200
BATCH_BYTES = 1_000_000
SECONDS = 10
RSS_BYTES_MAX = 1_500_000_000
"""What docs/operations.md states for these."""


def peak_bytes(process: "subprocess.Popen[bytes]") -> int:
    """The most memory that a process ever had in RAM."""
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.slow
def test_greedy_writers_do_not_grow_the_server(server: Server) -> None:
    with Client(server.address) as client:
        client.create_stream("s")
        arguments = map(str, (server.address, CONNECTIONS, BATCH_BYTES, SECONDS))
        done = subprocess.run(
            [sys.executable, "-m", "tests.e2e.greedy", *arguments],
            cwd=Path(__file__).parent.parent.parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )
        stored, refused = map(int, done.stdout.split())
        assert stored > 0
        assert refused == 0
        assert client.get_stream("s").next_offset >= stored
    assert server._process is not None
    assert peak_bytes(server._process) < RSS_BYTES_MAX
