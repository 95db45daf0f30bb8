"""A real server in a process of its own, for the length of a block.

It is the same `rankspace serve` that a user starts, on a free port of the loopback, with its store
in the folder given. Its log lies beside the store. However the block ends, the server is told to
stop, and what does not stop in time is killed with all it has started.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rankspace.errors import Unreachable

START_S_MAX = 60.0
STOP_S_MAX = 30.0
POLL_S = 0.1
SEE = "server.log in the work folder says more"
COMMAND = (sys.executable, "-c", "from services.cli import main; main()", "serve")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that serves."""

    address: str
    process_id: int


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Server]:
    """Start a server, wait until its health is SERVING, stop it at the end."""
    port_file = folder / "port"
    environment = os.environ | {
        "RANKSPACE_GATEWAY__ADDRESS": "127.0.0.1:0",
        "RANKSPACE_GATEWAY__PORT_FILE": str(port_file),
        "RANKSPACE_STORE__FOLDER": str(folder / "store"),
    }
    process = await _start(folder / "server.log", environment)
    try:
        yield Server(await _address(process, port_file), process.pid)
    finally:
        await _stop(process)


async def _start(log: Path, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    await asyncio.to_thread(log.parent.mkdir, parents=True, exist_ok=True)
    with await asyncio.to_thread(log.open, "wb") as file:
        # A session of its own: Ctrl-C in a terminal reaches the demo, which stops the server.
        return await asyncio.create_subprocess_exec(
            *COMMAND, env=environment, stdout=file, stderr=file, start_new_session=True
        )


async def _address(process: asyncio.subprocess.Process, port_file: Path) -> str:
    """Where it serves, once it does."""
    try:
        async with asyncio.timeout(START_S_MAX):
            address = f"127.0.0.1:{await _port(process, port_file)}"
            await _serving(address)
            return address
    except TimeoutError as error:
        raise Unreachable(f"the server was not ready in {START_S_MAX:.0f} s; {SEE}") from error


async def _port(process: asyncio.subprocess.Process, port_file: Path) -> str:
    while not (port := await asyncio.to_thread(_read, port_file)):
        if process.returncode is not None:
            raise Unreachable(f"the server ended with status {process.returncode}; {SEE}")
        await asyncio.sleep(POLL_S)
    return port


def _read(path: Path) -> str:
    return path.read_text("ascii").strip() if path.exists() else ""


async def _serving(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        async for now in health.Watch(request, wait_for_ready=True):  # type: ignore[attr-defined]
            if now.status == health_pb2.HealthCheckResponse.SERVING:
                return


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S_MAX)
    except TimeoutError:
        process.kill()
        await process.wait()
    finally:
        # What the server started and left behind is of its session, which is its own.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
