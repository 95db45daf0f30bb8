"""Several server processes on one port: whoever is killed, no stream shows it."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from rankspace.client import Client
from rankspace.errors import Denied, Unreachable
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from tests.e2e.conftest import RANKSPACE, Server
from tests.e2e.several import connected, is_alive, leader, processes, until
from tests.listening import family
from tests.services.holders import issue

WRITERS = 8
SAMPLES = 120


@pytest.fixture(autouse=True)
def _two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server of this file has two processes."""
    monkeypatch.setenv("RANKSPACE_SERVER__PROCESSES", "2")


def samples(writer: int, reached: Callable[[int], None]) -> Iterator[Sample]:
    """What a writer sends, slowly enough to be met midway; it tells how far it has come."""
    for number in range(SAMPLES):
        reached(number)
        size = 2000 if number % 5 == 0 else 20  # some lie beside their row, some in a file
        yield Sample(f"{writer}-{number}", (Part("text", b"sample %d " % number * size),))
        time.sleep(0.01)


def told(server: Server) -> list[dict[str, object]]:
    """The log, line by line; one that is being written is left out."""
    return [json.loads(line) for line in server.log().rpartition("\n")[0].splitlines()]


def test_a_process_that_is_killed_midway_costs_no_sample_and_is_started_again(
    server: Server,
) -> None:
    first = processes(server)
    killed, _ = sorted(first)
    midway = threading.Semaphore(0)

    def write(writer: int, client: Client) -> tuple[int, int]:
        def reached(number: int) -> None:
            if number == SAMPLES // 3:
                midway.release()

        client.create_stream(f"s{writer}")
        done = client.append(f"s{writer}", samples(writer, reached))
        return done.next_offset, done.reconnects

    with ExitStack() as stack, ThreadPoolExecutor(WRITERS) as pool:
        clients = [
            stack.enter_context(connected(server, process))
            for process in sorted(first) * (WRITERS // 2)
        ]
        writers = [pool.submit(write, *each) for each in enumerate(clients)]
        for _ in writers:
            assert midway.acquire(timeout=60)
        os.kill(killed, signal.SIGKILL)
        done = [writer.result(timeout=60) for writer in writers]
    assert [offset for offset, _ in done] == [SAMPLES] * WRITERS
    assert [reconnects > 0 for _, reconnects in done] == [True, False] * (WRITERS // 2)
    until(lambda: len(processes(server)) == 2)
    with Client(server.address) as client:
        for writer in range(WRITERS):
            found = [(at, entry.sample_id) for at, entry in client.read(f"s{writer}")]
            assert found == [(at, f"{writer}-{at}") for at in range(SAMPLES)]
    assert processes(server) & first == first - {killed}
    ended = [line for line in told(server) if line["event"] == "a process ended"]
    assert [line["status"] for line in ended] == [-signal.SIGKILL]


def test_a_drain_ends_every_process_and_leaves_none(server: Server) -> None:
    with ThreadPoolExecutor(1) as pool, Client(server.address, patience_s=1.0) as client:
        client.create_stream("s")
        waits = client.read("s", follow=True)
        hears = pool.submit(list, waits)
        all_of_it = family(server.process_id, str(server.data)) - {os.getpid()}
        assert len(all_of_it) >= 3
        assert server.end(signal.SIGTERM) == 0
        until(lambda: not any(map(is_alive, all_of_it)))
        with pytest.raises(Unreachable):
            hears.result(timeout=20)
    said = told(server)
    assert {line.get("process") for line in said if line["event"] == "listening"} == {1, 2}
    assert said[-1]["event"] == "closed"
    assert said[-1]["statuses"] == [0, 0]


def test_what_keeps_dying_is_started_again_after_longer_waits_and_ends_with_its_supervisor(
    server: Server,
) -> None:
    def events(name: str) -> list[dict[str, object]]:
        return [line for line in told(server) if line["event"] == name]

    before = processes(server)
    os.kill(min(before), signal.SIGKILL)
    until(lambda: len(events("a process serves again")) == 1)
    os.kill((processes(server) - before).pop(), signal.SIGKILL)
    until(lambda: len(events("a process serves again")) == 2)
    waits = [line["again_s"] for line in events("a process ended")]
    assert waits == [0.2, 0.4]
    both = processes(server)
    os.kill(server.process_id, signal.SIGKILL)
    until(lambda: not any(map(is_alive, both)))


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Where the processes of the next server will tell their figures."""
    with socket.socket() as taken, socket.socket() as after:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
        after.bind(("127.0.0.1", port + 1))
    monkeypatch.setenv("RANKSPACE_GATEWAY__METRICS_ADDRESS", f"127.0.0.1:{port}")
    return port, port + 1


def calls(port: int) -> float:
    """How many calls a process has answered, by its own page."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        lines = [line.decode().rsplit(" ", 1) for line in page]
    counted = [float(value) for name, value in lines if "calls_total{" in name]
    return sum(counted)


def is_stranger(client: Client) -> bool:
    """Whether the server no longer takes who asks."""
    try:
        next(client.list_streams(), None)
    except Denied:
        return True
    return False


def become_strangers(*clients: Client) -> None:
    """Wait until the server takes none of them."""
    until(lambda: all(map(is_stranger, clients)))


def test_each_process_counts_for_itself_and_hears_of_tokens_in_seconds(
    ports: tuple[int, int], server: Server
) -> None:
    one = leader(server)
    (other,) = processes(server) - {one}
    with connected(server, one) as first, connected(server, other) as second:
        before = [calls(port) for port in ports]
        for _ in range(5):
            assert not is_stranger(first)
        assert [calls(port) for port in ports] == [before[0] + 5, before[1]]
        with Store.open(StoreConfig(folder=server.data)) as store:
            secret = issue(store, "ann")
        become_strangers(first, second)
    with connected(server, one, secret) as first, connected(server, other, secret) as second:
        with Store.open(StoreConfig(folder=server.data)) as store:
            store.access.revoke("ann")
        become_strangers(first, second)


def test_what_is_wrong_with_the_settings_is_said_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [RANKSPACE, "serve", "--address", "0.0.0.0:0", "--folder", tmp_path / "data"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = " ".join(done.stderr.split()).split("rankspace: ")[1:]
    assert "can be reached from outside: set gateway.certificate" in line
    assert "Traceback" not in line
    assert list(tmp_path.glob("data/*")) == []


def test_a_second_server_does_not_join_the_port(server: Server, tmp_path: Path) -> None:
    for processes_wanted in ("1", "2"):
        arguments = ["--processes", processes_wanted, "--address", server.address]
        done = subprocess.run(
            [RANKSPACE, "serve", *arguments, "--folder", tmp_path / "other"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        assert "another program may be there" in " ".join(done.stderr.split())
    with Client(server.address) as client:
        client.create_stream("s")
