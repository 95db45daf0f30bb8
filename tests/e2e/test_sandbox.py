"""A server's decoders: what they are kept from is said at its start, and they die with it."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rankspace.client import Client
from rankspace.media.sample import Part, Sample
from tests.e2e.conftest import Server
from tests.worlds import part

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="needs Linux to see processes")


def decoders(server: Server) -> set[int]:
    """The processes of a server that decode."""
    found = set()
    parent = f"PPid:\t{server.process_id}\n"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            ours = b"services.sandbox.worker" in path.read_bytes()
            if ours and parent in (path.parent / "status").read_text():
                found.add(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def gone(pids: set[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def wait(until: Callable[[], bool]) -> None:
    last = time.monotonic() + 20
    while not until():
        assert time.monotonic() < last
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_decoders_die_with_their_server(server: Server, how: signal.Signals) -> None:
    with Client(server.address) as client:
        client.create_stream("s")
        good, bad = Sample("a", (part("audio"),)), Sample("b", (Part("video", b"\0\0\0 ftypisom"),))
        summary = client.append("s", [good, bad])
        assert summary.rejected == 1
    mine = decoders(server)
    assert mine
    server.end(how)
    wait(lambda: gone(mine))


def test_the_first_medium_finds_a_decoder_at_rest(server: Server) -> None:
    wait(lambda: '"event": "sandbox"' in server.log())
    ready = decoders(server)
    assert len(ready) == 1
    with Client(server.address) as client:
        client.create_stream("s")
        assert client.append("s", [Sample("a", (part("audio"),))]).rejected == 0
    assert decoders(server) == ready


def test_the_log_says_what_decoders_are_kept_from(server: Server) -> None:
    wait(lambda: '"event": "sandbox"' in server.log())
    lines = [json.loads(line) for line in server.log().splitlines()]
    (line,) = [line for line in lines if line["event"] == "sandbox"]
    assert "limits" in line["in_force"]
    assert set(line["in_force"]) | set(line["not_in_force"]) == {
        "limits", "user", "network", "calls", "parent",
    }  # fmt: skip
