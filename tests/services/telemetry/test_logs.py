"""The log of several processes that share one stderr: no line can be cut by another's."""

import json
import socket
import subprocess
import sys

import pytest

WRITES = """
import logging
from services.telemetry.logs import log, start
start(process=3)
log.info("ours", text="x" * 1000)
logging.warning("a library's")
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_is_written_whole(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)  # as images of containers have it
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # keeps writes apart
    with ours, theirs:
        command = [sys.executable, "-c", WRITES]
        subprocess.run(command, stderr=theirs.fileno(), check=True, timeout=60)
        ours.setblocking(False)
        writes = [ours.recv(1 << 16) for _ in range(2)]
        with pytest.raises(BlockingIOError):
            ours.recv(1)
    assert all(each.count(b"\n") == 1 and each.endswith(b"\n") for each in writes)
    lines = [json.loads(each) for each in writes]
    assert [(line["event"], line["process"]) for line in lines] == [
        ("ours", 3),
        ("a library's", 3),
    ]
