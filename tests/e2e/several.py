"""A server of several processes: which of them answers whom, and which hands out jobs."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rankspace.client import Client
from rankspace.store.config import StoreConfig
from rankspace.store.jobs import HANDING_OUT
from rankspace.store.store import Store
from tests.e2e.conftest import Server
from tests.listening import answering, family

PROGRAM = b"services.processes.serving"
WITHIN_S = 30


def until(holds: Callable[[], object]) -> None:
    """Wait for it."""
    ends = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.05)


def processes(server: Server) -> set[int]:
    """The processes that serve; the supervisor is not among them."""
    found = {one for one in family(server.process_id, str(server.data)) if _serves(one)}
    return {one for one in found if _parent(one) not in found}  # not yet another program


def is_alive(process: int) -> bool:
    """Whether a process runs."""
    try:
        stat = Path("/proc", str(process), "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def leader(server: Server) -> int:
    """The process that hands out jobs."""
    with Store.open(StoreConfig(folder=server.data)) as store:
        return int(store.leases.get(HANDING_OUT).holder.split(":")[1])


@contextmanager
def connected(server: Server, wanted: int, token: str | None = None) -> Iterator[Client]:
    """A client whose connection is with this process; the kernel chooses, so it is tried anew."""
    for _ in range(100):
        before = _answered(server)
        with Client(server.address, token=token) as client:
            next(client.list_streams(), None)
            now = _answered(server)
            if {now[port] for port in now.keys() - before.keys()} == {wanted}:
                yield client
                return
    raise AssertionError(f"no connection came to process {wanted}")


def _answered(server: Server) -> dict[int, int]:
    return answering(processes(server), int(server.address.rpartition(":")[2]))


def _parent(process: int) -> int:
    try:
        stat = Path("/proc", str(process), "stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def _serves(process: int) -> bool:
    try:
        line = Path("/proc", str(process), "cmdline").read_bytes()
    except OSError:
        return False
    return PROGRAM in line and process != os.getpid()
