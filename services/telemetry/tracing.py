"""One trace through an append: the call, the batch, its judging, its commit, its answer.

    caller's span ─▶ call ─▶ append ─▶ admit ─▶ sandbox
                                    ├▶ commit (how many appends shared it)
                                    └▶ ack

The caller's span comes as W3C `traceparent` in the metadata (w3.org/TR/trace-context). Spans carry
names, counts and sizes, never content. Nothing of OpenTelemetry is imported, and every step is an
empty block, unless `telemetry.otlp_endpoint` is set.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from services.telemetry.config import TelemetryConfig

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

SERVICE = "rankspace"
EXPORT_S = 2
"""How long a collector may take; then its spans are dropped."""

Values = str | int | float | bool

_tracer: "Tracer | None" = None


@asynccontextmanager
async def on(config: TelemetryConfig) -> AsyncIterator[None]:
    """Make traces, if there is somewhere to send them, for the length of the block."""
    if not config.otlp_endpoint:
        yield
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        ParentBased(TraceIdRatioBased(config.trace_share)),
        Resource.create({"service.name": SERVICE}),
        shutdown_on_exit=False,
    )
    insecure = not config.otlp_endpoint.startswith("https://")
    exporter = OTLPSpanExporter(endpoint=config.otlp_endpoint, insecure=insecure, timeout=EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _put(provider.get_tracer(SERVICE))
    try:
        yield
    finally:
        _put(None)
        await asyncio.to_thread(provider.shutdown)  # sends what is left


def _put(tracer: "Tracer | None") -> None:
    global _tracer  # one process, one place where traces go
    _tracer = tracer


def call(
    method: str, metadata: Iterable[tuple[str, str | bytes]]
) -> "AbstractContextManager[Span | None]":
    """The span of a call, below that of its caller, for the length of a block."""
    if _tracer is None:
        return nullcontext()
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {key: value for key, value in metadata if isinstance(value, str)}
    parent = TraceContextTextMapPropagator().extract(carrier)
    return _tracer.start_as_current_span(
        method.removeprefix("/"), parent, SpanKind.SERVER, record_exception=False
    )


def begin(name: str, **values: Values) -> "Span | None":
    """A span below the current one, to be ended with `end`."""
    return None if _tracer is None else _tracer.start_span(name, attributes=_named(values))


def within(span: "Span | None") -> AbstractContextManager[Any]:
    """Do what is in the block below a span."""
    if span is None:
        return nullcontext()
    from opentelemetry.trace import use_span

    return use_span(span, record_exception=False)


def end(span: "Span | None") -> None:
    """It is over."""
    if span is not None:
        span.end()


def step(name: str, **values: Values) -> "AbstractContextManager[Span | None]":
    """A span below the current one, for the length of a block."""
    if _tracer is None:
        return nullcontext()
    return _tracer.start_as_current_span(name, attributes=_named(values), record_exception=False)


def note(span: "Span | None", **values: Values) -> None:
    """Say more about a span."""
    if span is not None:
        span.set_attributes(_named(values))


def current() -> "Span | None":
    """The span that the caller is in."""
    if _tracer is None:
        return None
    from opentelemetry.trace import get_current_span

    return get_current_span()


def _named(values: Mapping[str, Values]) -> dict[str, Values]:
    return {f"{SERVICE}.{name}": value for name, value in values.items()}
