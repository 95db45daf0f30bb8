"""The server: started, drained, stopped."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import structlog
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rankspace.v1 import (
    generation_pb2_grpc,
    ingestion_pb2_grpc,
    models_pb2_grpc,
    training_pb2_grpc,
)
from services.audit import Audit
from services.auth import Guard
from services.draining import Draining
from services.engine import Engine
from services.gateway import pauses, signs
from services.gateway.calls import OpenCalls
from services.gateway.config import GatewayConfig
from services.gateway.door import Door
from services.gateway.listening import listen
from services.gateway.metrics import measured
from services.gateway.signs import SERVICES, Signs
from services.generation import Generation
from services.ingestion import Ingestion
from services.models import Models
from services.quotas import Quotas
from services.telemetry import tracing
from services.tenancy import TenantAnswers, TenantJobs, TenantModels, TenantStreams
from services.training import Training

APPEND = "/rankspace.v1.IngestionService/AppendSamples"
ENVELOPE = 1 << 16
"""Bytes that an answer may add to what it carries."""

CALLS_BEFORE_THE_DOOR = 4
"""Times the calls that may be at work: so many may be open, those that have not said what they want
among them. Beyond that gRPC refuses a call before any of our code runs."""

AHEAD = 1 << 18
"""Bytes of one connection, or of one call, that are taken before anybody reads them."""

log = structlog.get_logger()


Beside = Callable[[], Awaitable[None]]
"""Says that this process can serve, and returns once all can that share its port."""


@asynccontextmanager
async def running(
    config: GatewayConfig, engine: Engine, beside: Beside | None = None, *, warm: bool = False
) -> AsyncIterator[int]:
    """Serve for the length of the block, which is given the port; then drain.

    With `warm` what the first who come would wait for is started before.
    """
    guard = Guard(config.auth, engine)
    quotas = Quotas(config.quotas, engine)
    calls = OpenCalls(guard, config.auth.recheck_s, config.unary_s_max, config.idle_s_max)
    audit = Audit(config.audit)
    door = Door(guard, calls, quotas, audit, config.calls_max)
    server = grpc.aio.server(
        interceptors=[door],
        options=_options(config, shared=beside is not None),
        maximum_concurrent_rpcs=CALLS_BEFORE_THE_DOOR * config.calls_max,
    )
    said = Signs()
    draining = Draining(config.grace_s)
    ingestion = _add_services(server, said, draining, engine, quotas, config)
    door.readers[APPEND] = ingestion.read
    port = listen(server, config)  # before the store is opened: a second server fails here
    async with audit.writing(), calls.watched(), AsyncExitStack() as stack:
        try:
            await engine.ready()
            await stack.enter_async_context(tracing.on(config.telemetry))
            await stack.enter_async_context(measured(config, guard, engine))
            await signs.say(said, serves=False)
            await server.start()
            if beside is not None:
                await beside()
            await signs.say(said, serves=True)
            await stack.enter_async_context(signs.watched(said, engine))
            if config.port_file:
                await asyncio.to_thread(config.port_file.write_text, f"{port}\n", "ascii")
            log.info("listening", address=config.address, port=port, tls=bool(config.certificate))
            if warm:
                await asyncio.to_thread(ingestion.warm)
            yield port
        finally:
            log.info("draining", grace_s=config.grace_s)
            await said.enter_graceful_shutdown()
            engine.drain()
            draining.begin()
            await server.stop(config.grace_s)
            await asyncio.to_thread(ingestion.close)


async def serve(
    config: GatewayConfig,
    engine: Engine,
    stopped: asyncio.Event | None = None,
    beside: Beside | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or the sign, then drain and close the engine."""
    stopped = stopped or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        with pauses.short():
            async with running(config, engine, beside, warm=True):
                await stopped.wait()
    finally:
        await engine.close()
        log.info("closed")


def _options(config: GatewayConfig, shared: bool) -> list[tuple[str, int]]:
    keepalive_ms = int(config.keepalive_s * 1000)
    return [
        # A second server on the port must fail, not share it; the supervisor of several sees to it.
        ("grpc.so_reuseport", int(shared)),
        ("grpc.max_receive_message_length", config.message_bytes_max),
        # What came in as large as it may, in a message and in pieces, goes out with its offset.
        (
            "grpc.max_send_message_length",
            config.message_bytes_max + config.ingestion.growing_bytes_max + ENVELOPE,
        ),
        # What no call has asked for is not taken far ahead: the credits bound the rest.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", AHEAD),
        ("grpc.experimental.tcp_max_read_chunk_size", AHEAD),
        ("grpc.max_metadata_size", config.metadata_bytes_max),
        ("grpc.max_concurrent_streams", config.calls_per_connection_max),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.http2.min_ping_interval_without_data_ms", int(config.ping_s_min * 1000)),
        ("grpc.max_allowed_incoming_connections", config.connections_max),
        ("grpc.server_handshake_timeout_ms", int(config.handshake_s_max * 1000)),
        ("grpc.max_connection_idle_ms", int(config.connection_idle_s_max * 1000)),
        ("grpc.max_connection_age_ms", int(config.connection_age_s_max * 1000)),
        ("grpc.max_connection_age_grace_ms", int(config.connection_leave_s_max * 1000)),
    ]


def _add_services(
    server: grpc.aio.Server,
    said: Signs,
    draining: Draining,
    engine: Engine,
    quotas: Quotas,
    config: GatewayConfig,
) -> Ingestion:
    streams = TenantStreams(engine, quotas)
    ingestion = Ingestion(streams, config.ingestion, config.message_bytes_max, draining, quotas)
    ingestion_pb2_grpc.add_IngestionServiceServicer_to_server(ingestion, server)
    training = Training(TenantJobs(engine), draining)
    training_pb2_grpc.add_TrainingServiceServicer_to_server(training, server)
    generation = Generation(TenantAnswers(engine), config.message_bytes_max, draining)
    generation_pb2_grpc.add_GenerationServiceServicer_to_server(generation, server)
    models_pb2_grpc.add_ModelServiceServicer_to_server(Models(TenantModels(engine)), server)
    health_pb2_grpc.add_HealthServicer_to_server(said, server)
    reflection.enable_server_reflection(
        (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    return ingestion
