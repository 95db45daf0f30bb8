"""`GET /metrics` for Prometheus: a port of its own, plain HTTP, nothing else on it.

It is closed unless `gateway.metrics_address` is set. Beyond loopback it needs TLS, with the
server's certificate, and a way to tell who asks; where callers must say who they are, so must
whoever asks for metrics, who needs the scope `read` and belongs to no tenant: the figures are of
all.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from rankspace.errors import Denied, Forbidden, InvalidConfig, RankspaceError
from rankspace.store.entries import JobState
from services.auth import Guard
from services.engine import Jobs
from services.gateway.config import GatewayConfig
from services.gateway.listening import is_loopback
from services.telemetry import late, metrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PATH = "/metrics"
TYPE = "text/plain; version=0.0.4; charset=utf-8"
HEAD_BYTES_MAX = 8 << 10
ANSWER_WITHIN_S = 10.0
CONNECTIONS_MAX = 16
JOBS_SEEN = 1000
STATES: tuple[JobState, ...] = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
_WORDS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 503: "Service Unavailable",
}  # fmt: skip

log = structlog.get_logger()


@asynccontextmanager
async def measured(config: GatewayConfig, guard: Guard, engine: Jobs) -> AsyncIterator[None]:
    """Count, and answer who asks, for the length of the block; nothing without an address."""
    if not config.metrics_address:
        yield
        return
    host, port = _checked(config)
    with metrics.on(config.telemetry.tenants_max) as registry:
        page = Page(guard, engine, registry)
        try:
            server = await asyncio.start_server(
                page.answer, host, port, ssl=_tls(config), limit=HEAD_BYTES_MAX
            )
        except OSError as error:
            raise InvalidConfig(
                f"cannot listen on {config.metrics_address}; another program may be there",
                "gateway.metrics_address",
            ) from error
        async with server, late.watched():
            log.info("metrics", address=config.metrics_address, port=_port(server))
            yield


class Page:
    """The one page there is."""

    def __init__(self, guard: Guard, engine: Jobs, registry: "CollectorRegistry") -> None:
        self._guard = guard
        self._engine = engine
        self._registry = registry
        self._open = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer; then the connection ends."""
        self._open += 1
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                code, body = await self._answered(reader, writer)
                writer.write(_head(code, len(body)) + body)
                await writer.drain()
        except (TimeoutError, ConnectionError):
            log.debug("metrics cut short")
        finally:
            self._open -= 1
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _answered(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[int, bytes]:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            return 400, b"this is not HTTP\n"
        refused = self._refusal(method, path)
        if refused:
            return refused, f"GET {PATH} is all there is\n".encode()
        try:
            await self._may(head[1:], writer)
            await self._count_jobs()
        except Forbidden as error:
            return 403, f"{error.message}\n".encode()
        except Denied as error:
            return 401, f"{error.message}\n".encode()
        except RankspaceError as error:
            return 503, f"{error.message}\n".encode()
        return 200, await asyncio.to_thread(metrics.written, self._registry)

    def _refusal(self, method: str, path: str) -> int:
        if self._open > CONNECTIONS_MAX:
            return 503
        if path.partition("?")[0] != PATH:
            return 404
        return 0 if method == "GET" else 405

    async def _may(self, lines: list[str], writer: asyncio.StreamWriter) -> None:
        pairs = (line.partition(":") for line in lines if line)
        metadata = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
        who = await self._guard.who(PATH, metadata, _peer(writer))
        if who.tenant or not {"read", "admin"} & who.scopes:
            raise Forbidden(f"{who.name} may not; metrics need the scope read, and no tenant")

    async def _count_jobs(self) -> None:
        if metrics.JOBS.live is not None:
            found = Counter(job.state for job in (await self._engine.jobs(JOBS_SEEN, "")).items)
            for state in STATES:
                metrics.JOBS.set(found[state], state)


def _head(code: int, length: int) -> bytes:
    lines = [
        f"HTTP/1.1 {code} {_WORDS[code]}",
        f"Content-Type: {TYPE}",
        f"Content-Length: {length}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _peer(writer: asyncio.StreamWriter) -> dict[str, list[bytes]]:
    """What TLS knows of who asks, as gRPC words it."""
    shown = writer.get_extra_info("peercert") or {}
    names = [value for _, value in shown.get("subjectAltName", ())]
    common = [value for part in shown.get("subject", ()) for key, value in part]
    found = {"x509_subject_alternative_name": names, "x509_common_name": common}
    return {key: [name.encode() for name in values] for key, values in found.items() if values}


def _checked(config: GatewayConfig) -> tuple[str, int]:
    address = config.metrics_address
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidConfig("gateway.metrics_address is HOST:PORT", "gateway.metrics_address")
    guarded = config.auth.tokens or config.auth.required or config.client_ca
    if not is_loopback(address) and not (config.certificate and config.key and guarded):
        raise InvalidConfig(
            f"{address} can be reached from outside: set gateway.certificate, gateway.key and "
            "gateway.auth.required, or listen on 127.0.0.1",
            "gateway.metrics_address",
        )
    return host.strip("[]"), int(port)


def _tls(config: GatewayConfig) -> ssl.SSLContext | None:
    """TLS by the server's files, which are read again when they change."""
    if not (config.certificate and config.key):
        return None
    used, seen = _loaded(config), _stamps(config)

    def follow(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        nonlocal used, seen
        try:
            if (found := _stamps(config)) != seen:
                used, seen = _loaded(config), found
        except (InvalidConfig, OSError):
            log.warning("the certificate of the metrics stays")
        connection.context = used

    first = _loaded(config)
    first.sni_callback = follow
    return first


def _stamps(config: GatewayConfig) -> list[int]:
    files = (config.certificate, config.key, config.client_ca)
    return [path.stat().st_mtime_ns for path in files if path]


def _loaded(config: GatewayConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(str(config.certificate), config.key)
        if config.client_ca:
            context.load_verify_locations(config.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfig(
            "gateway.certificate, gateway.key or gateway.client_ca cannot be used", "gateway"
        ) from error
    return context


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])
