"""A real server and the SDK, seen by Prometheus and by an OTLP collector."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from tests.e2e.conftest import Server

WITHIN_S = 20
WRITER = """
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from rankspace.client import Client
from rankspace.media import encode
from rankspace.media.sample import Part, Sample
from tests.worlds import picture

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(sys.argv[2], insecure=True)))
trace.set_tracer_provider(provider)
with Client(sys.argv[1]) as client:
    client.create_stream("a")
    samples = [Sample(str(at), (Part("image", encode.png(picture(at))),)) for at in range(5)]
    samples.append(Sample("broken", (Part("image", b"\\x89PNG"),)))
    with trace.get_tracer("program").start_as_current_span("my work"):
        client.append("a", samples)
"""


class Collector(otlp_grpc.TraceServiceServicer):
    """Keeps the spans that arrive."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.server = grpc.server(ThreadPoolExecutor(2))
        otlp_grpc.add_TraceServiceServicer_to_server(self, self.server)  # type: ignore[no-untyped-call]
        self.address = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def Export(
        self, request: otlp.ExportTraceServiceRequest, _context: object
    ) -> otlp.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return otlp.ExportTraceServiceResponse()

    def one(self, name: str, above: Span | None = None) -> Span:
        """The span of this name, directly below another."""
        found = [
            span
            for span in self.spans
            if span.name == name and (above is None or span.parent_span_id == above.span_id)
        ]
        assert len(found) == 1, [span.name for span in self.spans]
        return found[0]


class Page:
    """The metrics of a server."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"

    def figures(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as page:
            lines = [line.decode().rsplit(" ", 1) for line in page if not line.startswith(b"#")]
        return {name: float(value) for name, value in lines}


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.stop(0).wait()


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, collector: Collector) -> Page:
    """Where the next server will tell about itself."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found = Page(taken.getsockname()[1])
    monkeypatch.setenv("RANKSPACE_GATEWAY__METRICS_ADDRESS", found.address)
    monkeypatch.setenv("RANKSPACE_GATEWAY__TELEMETRY__OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    return found


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    ends = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.05)


def written(server: Server, collector: Collector) -> None:
    """A program of its own, which makes traces, appends six pictures, one of them broken."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", WRITER, server.address, collector.address],
        cwd=root, env=os.environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_program_s_trace_goes_on_through_the_server_to_the_disk(
    page: Page, collector: Collector, server: Server
) -> None:
    written(server, collector)
    until(lambda: any(span.name.endswith("/AppendSamples") for span in collector.spans))
    call = collector.one("rankspace.v1.IngestionService/AppendSamples")
    sent = collector.one("append", above=collector.one("my work"))
    assert sent.kind == Span.SPAN_KIND_CLIENT
    assert (call.trace_id, call.parent_span_id) == (sent.trace_id, sent.span_id)
    batches = [span for span in collector.spans if span.parent_span_id == call.span_id]
    stored = 0
    for batch in batches:
        assert batch.name == "append"
        collector.one("sandbox", above=collector.one("admit", above=batch))
        commit, ack = (collector.one(name, above=batch) for name in ("commit", "ack"))
        told = {pair.key: pair.value.int_value for pair in commit.attributes}
        assert 1 <= told["rankspace.group"] <= len(batches)
        assert ack.start_time_unix_nano >= commit.end_time_unix_nano
        stored += told["rankspace.samples"]
    assert stored == 6
    secrets = (b"PNG", str(Path.home()).encode())
    assert not any(word in span.SerializeToString() for span in collector.spans for word in secrets)


def test_metrics_follow_an_append_from_the_sandbox_to_the_follower(
    page: Page, collector: Collector, server: Server
) -> None:
    assert page.figures()["rankspace_commit_seconds_count"] == 0
    written(server, collector)
    found = page.figures()
    assert found['rankspace_append_samples_total{tenant=""}'] == 5
    assert sum(value for name, value in found.items() if "append_rejects_total{" in name) == 1
    assert found["rankspace_commit_seconds_count"] == found["rankspace_commit_group_count"] >= 1
    assert found["rankspace_sandbox_starts_total"] >= 1
    assert found["rankspace_sandbox_seconds_count"] >= 1
    assert found["rankspace_commit_queue"] == found["rankspace_commit_queue_bytes"] == 0
    assert found["rankspace_credit_bytes"] == 0
    with grpc.insecure_channel(server.address) as channel:
        stub: Any = IngestionServiceStub(channel)
        following = stub.ReadSamples(pb.ReadSamplesRequest(stream="streams/a", follow=True))
        assert [next(following).next_offset for _ in range(5)] == [1, 2, 3, 4, 5]
        until(lambda: page.figures()["rankspace_followers"] == 1)
        until(lambda: page.figures()["rankspace_follower_lag_samples"] == 0)
        following.cancel()
    until(lambda: page.figures()["rankspace_followers"] == 0)
    assert page.figures()['rankspace_read_samples_total{tenant=""}'] == 5
