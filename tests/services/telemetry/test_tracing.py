"""Traces: one through an append, handed on by the caller, sent to a real OTLP receiver."""

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from rankspace.media.sample import Part, Sample
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.ingestion import write_batch
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from services.telemetry import TelemetryConfig, tracing
from tests.services.parrot import ParrotEngine

CALL = "rankspace.v1.IngestionService/AppendSamples"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\0\0\0\0"


class Collector(otlp_grpc.TraceServiceServicer):
    """Keeps the spans that arrive."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.address = ""

    async def Export(
        self, request: otlp.ExportTraceServiceRequest, _context: object
    ) -> otlp.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return otlp.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    found, server = Collector(), grpc.aio.server()
    otlp_grpc.add_TraceServiceServicer_to_server(found, server)  # type: ignore[no-untyped-call]
    found.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield found
    await server.stop(0)


async def appended(engine: ParrotEngine, config: TelemetryConfig, *metadata: Any) -> None:
    """A server with this config takes a batch and refuses the next; then it stops."""
    batch = write_batch([Sample("x", (Part("text", b"a"),)), Sample("y", (Part("audio", WAV),))], 0)
    gap = write_batch([Sample("z", (Part("text", b"a"),))], 9)
    setup = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/a"))
    gateway = GatewayConfig(address="127.0.0.1:0", telemetry=config, grace_s=1)
    async with (
        running(gateway, engine) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub: Any = IngestionServiceStub(channel)
        await stub.CreateStream(pb.CreateStreamRequest(stream_id="a"))
        requests = [setup, *(pb.AppendSamplesRequest(batch=one) for one in (batch, gap))]
        call = stub.AppendSamples(iter(requests), metadata=metadata or None)
        assert len([answer async for answer in call]) == 3


async def test_one_trace_goes_through_an_append(engine: ParrotEngine, collector: Collector) -> None:
    traceparent = ("traceparent", f"00-{TRACE}-{PARENT}-01")
    await appended(engine, TelemetryConfig(otlp_endpoint=collector.address), traceparent)
    (call,) = collector.named(CALL)
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, PARENT)
    assert call.kind == Span.SPAN_KIND_SERVER
    assert {"rankspace.code", "rankspace.who"} <= {pair.key for pair in call.attributes}
    first, second = sorted(collector.named("append"), key=lambda span: span.start_time_unix_nano)
    for batch in (first, second):
        assert batch.trace_id == call.trace_id
        assert batch.parent_span_id == call.span_id
        below = {span.name for span in collector.spans if span.parent_span_id == batch.span_id}
        assert below == {"admit", "commit", "ack"}
    admitted = next(
        span for span in collector.named("admit") if span.parent_span_id == first.span_id
    )
    looked = [span.parent_span_id for span in collector.named("sandbox")]
    assert admitted.span_id in looked
    for span in collector.spans:
        assert span.end_time_unix_nano >= span.start_time_unix_nano > 0


async def test_a_caller_who_does_not_want_a_trace_gets_none(
    engine: ParrotEngine, collector: Collector
) -> None:
    unsampled = ("traceparent", f"00-{TRACE}-{PARENT}-00")
    await appended(engine, TelemetryConfig(otlp_endpoint=collector.address), unsampled)
    assert collector.named("append") == []
    assert collector.named(CALL) == []


async def test_a_share_of_nothing_traces_nothing_that_nobody_asked_for(
    engine: ParrotEngine, collector: Collector
) -> None:
    config = TelemetryConfig(otlp_endpoint=collector.address, trace_share=0.0)
    await appended(engine, config)
    assert collector.spans == []


async def test_a_collector_that_is_not_there_harms_no_append(engine: ParrotEngine) -> None:
    await appended(engine, TelemetryConfig(otlp_endpoint="http://127.0.0.1:9"))


async def test_while_traces_are_off_steps_are_empty(engine: ParrotEngine) -> None:
    await appended(engine, TelemetryConfig())
    with tracing.step("a", b=1) as step, tracing.within(tracing.begin("c")):
        assert step is None
        assert tracing.current() is None
    tracing.note(None, a=1)
    tracing.end(None)


def test_a_server_without_traces_and_metrics_imports_neither() -> None:
    code = (
        "import sys, services.gateway.server, services.local, rankspace.client;"
        "print(*sorted({'opentelemetry', 'prometheus_client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
