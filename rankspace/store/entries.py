"""What the store takes and hands out: plain data, no SQL, so that importing it costs nothing.

Times are microseconds since the Unix epoch. Offsets count from 0 within their stream and leave no
gap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from rankspace.errors import RankspaceError
from rankspace.media.sample import Sample

JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Wish = Literal["run", "pause", "cancel"]
Durability = Literal["synced", "written"]
"""What an acknowledgement promises: on stable storage, or handed to the operating system."""

ENDED: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})
"""States that a job never leaves."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list."""

    items: tuple[Item, ...]
    next_token: str
    """Ask with this for what follows; empty at the end."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A tombstone: what is at an offset without a sample. It keeps the stream free of gaps.

    A sample could not be taken, or it was and has gone: `EXPIRED` by the stream's retention,
    `QUARANTINED` because it was damaged.
    """

    sample_id: str
    reason: str
    """UPPER_SNAKE, as in `RankspaceError.reason()`."""

    message: str
    content: Sample | None = None
    """What was sent, if it could be read: tells a retry from other content. Not stored."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused sample that is kept."""

    offset: int
    """Its place in the stream, where a tombstone is."""

    sample_id: str
    reason: str
    """UPPER_SNAKE, as in `RankspaceError.reason()`."""

    message: str
    field: str = ""
    created_us: int = 0
    raw: bytes = b""
    """The message in which it came; empty in lists."""

    size: int = 0
    """Bytes of that message."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Where samples went: offsets [first, next)."""

    first: int
    next: int
    duplicate: bool
    """All of it was there already, with the same content."""

    durability: Durability = "synced"
    """What holds for them, at least as much as was asked for."""


Outcome = Appended | RankspaceError
"""What became of a batch among others."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a stream keeps samples; 0 is for ever. The offsets stay, as tombstones."""

    age_s: int = 0
    """Seconds since a sample was appended."""

    bytes: int = 0
    """Media bytes of the newest samples that are kept."""


FOR_EVER = Retention()


@dataclass(frozen=True, slots=True)
class StreamChange:
    """What is to be another one of a stream; None stays."""

    description: str | None = None
    labels: Mapping[str, str] | None = None
    retention: Retention | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A log of samples and its running figures."""

    name: str
    description: str
    labels: Mapping[str, str]
    created_us: int
    finalized: bool
    next_offset: int
    """Where the next sample goes; also how many offsets are taken."""

    rejected: int
    """Offsets that hold a rejection."""

    bytes: int
    """Media bytes of the samples, as sent."""

    epoch: int
    """Newest writer; older ones are fenced."""

    digest: str
    """Hex BLAKE3 chained over the content hashes of all offsets: equal digests, equal streams."""

    retention: Retention = FOR_EVER
    """How long samples are kept."""

    first_kept: int = 0
    """Every sample before this offset has expired."""

    kept_bytes: int = 0
    """Media bytes of the samples that are still there."""

    strip_metadata: bool = False
    """Media are stored without what they tell of their makers."""


@dataclass(frozen=True, slots=True)
class Job:
    """A training job as the catalogue knows it."""

    job_id: str
    request_id: str
    config: Mapping[str, Any]
    state: JobState
    wish: Wish
    revision: int
    """Revision of the newest event; 0 before the first."""

    created_us: int
    updated_us: int
    last_event: Mapping[str, Any] | None
    """Body of the newest event."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One report of a job; revisions count from 1 within the job, without a gap."""

    job_id: str
    revision: int
    created_us: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered model. Its files never change."""

    name: str
    version: int
    folder: Path
    files: Mapping[str, str]
    """Hex SHA-256 of every file by its path inside `folder`, with / between folders."""

    lineage: Mapping[str, Any]
    """Where it comes from: snapshot, config, metrics, job."""

    created_us: int

    @property
    def reference(self) -> str:
        """The name that will always mean this version."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that can be moved from one model version to another."""

    alias: str
    name: str
    version: int
    revision: int
    """Counts the moves of this alias from 1."""

    rolled_back: bool
    """The move went back to what the alias had meant before."""

    moved_us: int
    history: tuple[str, ...] = ()
    """What roll-backs would return to, the next one first, as name@version."""

    @property
    def reference(self) -> str:
        """What the alias means, as name@version."""
        return f"{self.name}@{self.version}"
