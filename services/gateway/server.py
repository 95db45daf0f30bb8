"""The server: started, drained, stopped."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rankspace.v1 import (
    generation_pb2,
    generation_pb2_grpc,
    ingestion_pb2,
    ingestion_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    training_pb2,
    training_pb2_grpc,
)
from services.auth import Guard
from services.draining import Draining
from services.engine import Engine
from services.gateway.config import GatewayConfig
from services.gateway.door import Door
from services.gateway.listening import listen
from services.generation import Generation
from services.ingestion import Ingestion
from services.models import Models
from services.training import Training

SERVICES = tuple(
    service.full_name
    for file in (ingestion_pb2, training_pb2, generation_pb2, models_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)
ENVELOPE = 1 << 16
"""Bytes that an answer may add to what it carries."""

log = structlog.get_logger()


@asynccontextmanager
async def running(config: GatewayConfig, engine: Engine) -> AsyncIterator[int]:
    """Serve for the length of the block, which is given the port; then drain."""
    server = grpc.aio.server(
        interceptors=[Door(Guard(config.auth), config.calls_max)], options=_options(config)
    )
    signs = health.aio.HealthServicer()
    draining = Draining(config.grace_s)
    _add_services(server, signs, draining, engine, config)
    port = listen(server, config)  # before the store is opened: a second server fails here
    try:
        await engine.ready()
        for name in ("", *SERVICES):
            await signs.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        if config.port_file:
            await asyncio.to_thread(config.port_file.write_text, f"{port}\n", "ascii")
        log.info("listening", address=config.address, port=port, tls=bool(config.certificate))
        yield port
    finally:
        log.info("draining", grace_s=config.grace_s)
        await signs.enter_graceful_shutdown()
        draining.begin()
        await server.stop(config.grace_s)


async def serve(config: GatewayConfig, engine: Engine) -> None:
    """Serve until SIGTERM or SIGINT, then drain and close the engine."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with running(config, engine):
            await stopped.wait()
    finally:
        await engine.close()
        log.info("closed")


def _options(config: GatewayConfig) -> list[tuple[str, int]]:
    keepalive_ms = int(config.keepalive_s * 1000)
    return [
        ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
        ("grpc.max_receive_message_length", config.message_bytes_max),
        # What came in as large as it may goes out again, with its offset.
        ("grpc.max_send_message_length", config.message_bytes_max + ENVELOPE),
        ("grpc.max_metadata_size", config.metadata_bytes_max),
        ("grpc.max_concurrent_streams", config.calls_per_connection_max),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.http2.min_ping_interval_without_data_ms", int(config.ping_s_min * 1000)),
    ]


def _add_services(
    server: grpc.aio.Server,
    signs: health.aio.HealthServicer,
    draining: Draining,
    engine: Engine,
    config: GatewayConfig,
) -> None:
    ingestion = Ingestion(engine, config.ingestion, config.message_bytes_max, draining)
    ingestion_pb2_grpc.add_IngestionServiceServicer_to_server(ingestion, server)
    training_pb2_grpc.add_TrainingServiceServicer_to_server(Training(engine, draining), server)
    generation = Generation(engine, config.message_bytes_max, draining)
    generation_pb2_grpc.add_GenerationServiceServicer_to_server(generation, server)
    models_pb2_grpc.add_ModelServiceServicer_to_server(Models(engine), server)
    health_pb2_grpc.add_HealthServicer_to_server(signs, server)
    reflection.enable_server_reflection(
        (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
