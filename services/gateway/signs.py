"""What gRPC health says of the server and of each service in it.

    NOT_SERVING ──the store is open, all processes can serve──▶ SERVING ──SIGTERM──▶ NOT_SERVING
                                                                   │
                                 a sync has failed: what writes ───┴──▶ NOT_SERVING, to the end

Once the disk has failed to sync the store takes nothing more until it is opened again. What writes
says so, and so does the server as a whole, for a restart is what helps. Models go on answering.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from grpc_health.v1 import health, health_pb2

from rankspace.v1 import generation_pb2, ingestion_pb2, models_pb2, training_pb2
from services.engine import Engine
from services.meanwhile import meanwhile
from services.telemetry.metrics import STORE_STOPPED

WRITING = tuple(
    service.full_name
    for file in (ingestion_pb2, training_pb2, models_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)
"""Services that store something."""

SERVICES = (
    *WRITING,
    *(service.full_name for service in generation_pb2.DESCRIPTOR.services_by_name.values()),
)
WHOLE = ""
"""What health calls the server as a whole."""

LOOK_S = 0.5
"""How often the store is asked whether it has stopped."""

Signs = health.aio.HealthServicer
log = structlog.get_logger()


async def say(signs: Signs, serves: bool, names: tuple[str, ...] = SERVICES) -> None:
    """Say it of these services and of the whole."""
    words = health_pb2.HealthCheckResponse
    for name in (WHOLE, *names):
        await signs.set(name, words.SERVING if serves else words.NOT_SERVING)


@asynccontextmanager
async def watched(signs: Signs, engine: Engine) -> AsyncIterator[None]:
    """Say so once the store has stopped, for the length of the block."""
    async with meanwhile(_watch(signs, engine)):
        yield


async def _watch(signs: Signs, engine: Engine) -> None:
    while not (why := engine.stopped()):  # noqa: ASYNC110 - the store knows no event loop
        await asyncio.sleep(LOOK_S)
    STORE_STOPPED.set(1)
    fix = "see to the disk, then restart the server"
    log.error("the store has stopped: nothing more is stored", why=why, fix=fix)
    await say(signs, serves=False, names=WRITING)
