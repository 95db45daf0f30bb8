"""The caller's trace, handed on: W3C `traceparent` in the metadata of a call.

Only where the program has set up OpenTelemetry itself, which it has then imported: without it
nothing is imported and nothing is sent.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

Metadata = tuple[tuple[str, str], ...]


@contextmanager
def traced(name: str) -> Iterator[Metadata]:
    """A span for the length of the block, which is given what a call must carry to be below it."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        yield ()
        return
    from opentelemetry import propagate, trace

    kind = trace.SpanKind.CLIENT
    with trace.get_tracer("rankspace").start_as_current_span(name, kind=kind):
        carried: dict[str, str] = {}
        propagate.inject(carried)
        yield tuple(carried.items())
