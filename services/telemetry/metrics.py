"""What is counted and measured, in one table; nothing is, until `on`.

Whoever has something to tell calls a method of one of the names below. While metrics are off that
is a test for None. Names and units follow Prometheus (prometheus.io/docs/practices/naming): base
units, `_total` for what only grows. Labels have few values: methods, reasons, states, and tenants,
of which the first `tenants_max` have names of their own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PREFIX = "rankspace_"
OTHER = "other"

WAITS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
KNOWN: "list[Metric]" = []
"""Every metric there is."""


class Metric:
    """A name, and what Prometheus keeps under it while metrics are on."""

    kind = ""

    def __init__(self, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self.name = PREFIX + name
        self.meaning = meaning
        self.labels = tuple(labels)
        self.live: Any = None
        self.bounded: Callable[[str], str] = str
        KNOWN.append(self)

    def make(self, module: Any, registry: "CollectorRegistry") -> Any:
        """What `prometheus_client` keeps of this."""
        return getattr(module, self.kind)(self.name, self.meaning, self.labels, registry=registry)

    def of(self, values: tuple[str, ...]) -> Any:
        """The one with these labels."""
        if not values:
            return self.live
        if self.labels[0] == "tenant":
            values = (self.bounded(values[0]), *values[1:])
        return self.live.labels(*values)


class Counter(Metric):
    """Only grows."""

    kind = "Counter"

    def add(self, amount: float = 1, *labels: str) -> None:
        """Grow."""
        if self.live is not None:
            self.of(labels).inc(amount)


class Gauge(Metric):
    """Goes up and down."""

    kind = "Gauge"

    def add(self, amount: float = 1, *labels: str) -> None:
        """Go up, or down."""
        if self.live is not None:
            self.of(labels).inc(amount)

    def set(self, value: float, *labels: str) -> None:
        """Be so much."""
        if self.live is not None:
            self.of(labels).set(value)


class Histogram(Metric):
    """How often, and how much each time."""

    kind = "Histogram"

    def __init__(
        self, name: str, meaning: str, labels: Sequence[str] = (), *, buckets: Sequence[float]
    ) -> None:
        super().__init__(name, meaning, labels)
        self._buckets = tuple(buckets)

    def make(self, module: Any, registry: "CollectorRegistry") -> Any:
        return module.Histogram(
            self.name, self.meaning, self.labels, buckets=self._buckets, registry=registry
        )

    def see(self, value: float, *labels: str) -> None:
        """It was so much this time."""
        if self.live is not None:
            self.of(labels).observe(value)


CALLS = Counter("calls_total", "Calls that have ended.", ("tenant", "method", "code"))
CALL_SECONDS = Histogram("call_seconds", "How long calls took.", ("method",), buckets=WAITS_S)
CALLS_OPEN = Gauge("calls_open", "Calls at work.", ("method",))

BATCHES = Counter(
    "append_batches_total",
    "Batches answered: stored, duplicate, or refused as a whole.",
    ("tenant", "outcome"),
)
SAMPLES = Counter("append_samples_total", "Samples that were stored.", ("tenant",))
BYTES = Counter("append_bytes_total", "Media bytes that were stored, as sent.", ("tenant",))
REJECTS = Counter("append_rejects_total", "Samples that were refused.", ("tenant", "reason"))
REFUSALS = Counter("append_refusals_total", "Batches that were refused.", ("tenant", "reason"))
APPEND_SECONDS = Histogram(
    "append_seconds", "From a batch that was read to its answer.", buckets=WAITS_S
)
CREDIT_BATCHES = Gauge("credit_batches", "Messages of appends read and not yet stored.")
CREDIT_BYTES = Gauge("credit_bytes", "Bytes of such messages.")

READ_SAMPLES = Counter("read_samples_total", "Samples that were sent to readers.", ("tenant",))
FOLLOWERS = Gauge("followers", "Readers that follow a stream.")
FOLLOWER_LAG = Gauge(
    "follower_lag_samples", "Samples that the followers have before them, the most of any one."
)

COMMIT_SECONDS = Histogram(
    "commit_seconds", "A transaction of appends, its fsync included.", buckets=WAITS_S
)
SETTLE_SECONDS = Histogram(
    "settle_seconds", "The media of a group that go into regions brought to disk.", buckets=WAITS_S
)
COMMIT_GROUP = Histogram("commit_group", "Appends that share a transaction.", buckets=SIZES)
COMMIT_QUEUE = Gauge("commit_queue", "Appends that wait for a transaction.")
COMMIT_QUEUE_BYTES = Gauge("commit_queue_bytes", "Media bytes of such appends.")

STORE_STOPPED = Gauge(
    "store_stopped", "1: a sync has failed, and nothing more is stored until a restart."
)

SANDBOX_STARTS = Counter("sandbox_starts_total", "Processes started to look into media.")
SANDBOX_DEATHS = Counter("sandbox_deaths_total", "Of those, the ones that died of what they saw.")
SANDBOX_SECONDS = Histogram("sandbox_seconds", "How long media were looked into.", buckets=WAITS_S)

SESSIONS = Gauge("sessions_open", "Sessions of generation.")
ANSWER_SYMBOLS = Counter("answer_symbols_total", "Symbols that were generated.", ("tenant",))
JOBS = Gauge("jobs", "Training jobs, of the newest thousand.", ("state",))

LOOP_SECONDS = Histogram(
    "event_loop_late_seconds", "How late the event loop came to a task.", buckets=WAITS_S
)
LOOP_BUSY = Histogram(
    "event_loop_busy_seconds",
    "How long the event loop computed while a task waited for it.",
    buckets=WAITS_S,
)
LOOP_MAX = Gauge("event_loop_late_seconds_max", "The latest it came since the server started.")


@contextmanager
def on(tenants_max: int) -> "Iterator[CollectorRegistry]":
    """Count, for the length of the block, in the registry that it is given."""
    import prometheus_client

    registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    bounded = _bounded(tenants_max)
    for metric in KNOWN:
        metric.bounded = bounded
        metric.live = metric.make(prometheus_client, registry)
    try:
        yield registry
    finally:
        for metric in KNOWN:
            metric.live = None


def written(registry: "CollectorRegistry") -> bytes:
    """Everything in Prometheus' text format."""
    from prometheus_client import generate_latest

    return generate_latest(registry)


def _bounded(most: int) -> Callable[[str], str]:
    seen: set[str] = set()

    def named(tenant: str) -> str:
        if len(seen) < most:
            seen.add(tenant)
        return tenant if tenant in seen else OTHER

    return named
