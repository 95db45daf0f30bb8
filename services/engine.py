"""What the services ask of the machine behind them, in the library's own types.

An engine is the store, the trainer and the models, made asynchronous: `services.local` is one, on a
laptop and on a cluster alike. Everything slow runs in threads or processes of its own, so that no
call holds up another. Every refusal is a leaf of `rankspace.errors`.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rankspace.errors import RankspaceError
from rankspace.generation.request import Ask, Delta, Embedding, Scores, SessionConfig
from rankspace.media.sample import Part, Sample
from rankspace.store.access import Holding, StoredToken
from rankspace.store.drafts import Laid
from rankspace.store.entries import (
    FOR_EVER,
    Alias,
    Appended,
    Durability,
    Job,
    JobEvent,
    ModelVersion,
    Page,
    Refusal,
    Rejected,
    Retention,
    Stream,
    StreamChange,
    Wish,
)
from rankspace.store.growing import Grown, Medium, Step
from rankspace.training.job import JobConfig


@dataclass(frozen=True, slots=True)
class Window:
    """Which offsets of a stream to read."""

    start: int = 0
    """The first offset."""

    follow: bool = False
    """At the end, wait for more until the stream is finalized."""

    rejected: bool = False
    """Give what is left of refused samples too."""

    wanted: Callable[[Sample | Rejected], bool] | None = None
    """Instead of `rejected`: what to give, judged without media; those of the rest are not read."""

    def takes(self, entry: Sample | Rejected) -> bool:
        """Whether to give an entry."""
        if self.wanted is not None:
            return self.wanted(entry)
        return self.rejected or isinstance(entry, Sample)


@runtime_checkable
class Streams(Protocol):
    """The log of samples."""

    @property
    def inline_bytes_max(self) -> int:
        """Media bytes of a batch that are laid out in its rows; more go into a region."""

    async def create_stream(
        self,
        name: str,
        labels: Mapping[str, str],
        description: str,
        retention: Retention = FOR_EVER,
        strip_metadata: bool = False,
    ) -> Stream:
        """Make an empty stream."""

    async def update_stream(self, name: str, change: StreamChange) -> Stream:
        """Change what is not None."""

    async def stream(self, name: str) -> Stream:
        """One stream."""

    async def streams(self, size: int, token: str) -> Page[Stream]:
        """A page of streams by name."""

    async def finalize_stream(self, name: str) -> Stream:
        """Close a stream for good."""

    async def delete_stream(self, name: str) -> None:
        """Remove a stream and its samples."""

    async def claim(self, name: str, epoch: int) -> int:
        """Fence writers older than `epoch` (0: than a new one); the epoch to write with."""

    async def append(
        self,
        stream: str,
        offset: int | None,
        samples: Sequence[Sample | Rejected] | Laid,
        epoch: int,
        durability: Durability = "synced",
    ) -> Appended:
        """Compare and append in one transaction; as durable as was asked when it returns."""

    def read(
        self, stream: str, window: Window
    ) -> AsyncGenerator[tuple[int, Sample | Rejected], None]:
        """Samples in the order of their offsets, in bounded memory."""

    async def grow(
        self, stream: str, steps: Sequence[Step], epoch: int, durability: Durability
    ) -> Sequence[Grown | RankspaceError]:
        """Pieces of growing media; durable when it returns."""

    async def growing(self, stream: str) -> Sequence[Grown]:
        """Media that have been begun and that no sample has named yet."""

    async def grown(
        self, stream: str, media_ids: Sequence[str], bytes_max: int
    ) -> Mapping[str, Medium]:
        """Media that have ended, whole, together at most so many bytes."""

    async def take_grown(self, stream: str, media_ids: Sequence[str]) -> None:
        """Samples have named these media; they may go soon."""

    async def keep_rejects(self, stream: str, refused: Sequence[Refusal]) -> None:
        """Keep refused samples."""

    async def rejects(self, stream: str, size: int, token: str) -> Page[Refusal]:
        """A page of the refused samples that are kept, without what was sent."""

    async def reject(self, stream: str, offset: int) -> Refusal:
        """A refused sample that is kept, with what was sent."""

    async def drop_reject(self, stream: str, offset: int) -> None:
        """Keep a refused sample no longer."""


@runtime_checkable
class Jobs(Protocol):
    """Training jobs."""

    async def create_job(self, config: JobConfig, request_id: str) -> Job:
        """Submit a job, to start in its turn; the earlier one if the request was seen."""

    async def job(self, job_id: str) -> Job:
        """One job."""

    async def jobs(self, size: int, token: str) -> Page[Job]:
        """A page of jobs, the newest first."""

    async def wish(self, job_id: str, wish: Wish) -> Job:
        """Ask a job to run (again), to pause or to be cancelled."""

    def watch(self, job_id: str, after: int) -> AsyncGenerator[JobEvent, None]:
        """Every event after a revision, until the job is over."""


@runtime_checkable
class Models(Protocol):
    """The registry. A reference is an alias, a name (its newest version) or name@version."""

    async def models(self, size: int, token: str) -> Page[ModelVersion]:
        """The newest version of every model, by name."""

    async def versions(self, name: str, size: int, token: str) -> Page[ModelVersion]:
        """A page of a model's versions, the newest first."""

    async def model(self, reference: str) -> ModelVersion:
        """What a reference means now."""

    async def aliases(self, size: int, token: str) -> Page[Alias]:
        """A page of aliases, by name."""

    async def alias(self, alias: str) -> Alias:
        """Where an alias stands."""

    async def promote(self, alias: str, reference: str) -> Alias:
        """Move an alias to a version, making the alias if there is none."""

    async def roll_back(self, alias: str) -> Alias:
        """Move an alias to what it meant before."""


@runtime_checkable
class Session(Protocol):
    """One conversation with one model version. One call at a time, but for `interrupt`."""

    @property
    def session_id(self) -> str:
        """Names it in logs and feedback."""

    @property
    def model(self) -> str:
        """The version in use, as name@version."""

    async def hear(self, part: Part) -> None:
        """Take the next part."""

    def answer(self, ask: Ask) -> AsyncGenerator[Delta, None]:
        """The answer as it is made; the last delta is final."""

    def interrupt(self) -> None:
        """End the answer that is being made, if one is: its next delta is final. Never waits."""

    async def close(self) -> None:
        """Free what the session holds."""


@runtime_checkable
class Answers(Protocol):
    """What a trained model can be asked."""

    async def open(self, config: SessionConfig) -> Session:
        """Start a session; Overloaded when there are too many."""

    async def embed(self, model: str, parts: Sequence[Part]) -> Embedding:
        """One vector for all parts."""

    async def score(self, model: str, parts: Sequence[Part]) -> Scores:
        """How well each part is predicted after those before it."""


@runtime_checkable
class Keeper(Protocol):
    """Who may ask, and how much is whose."""

    async def tokens(self, digests: Sequence[str]) -> dict[str, StoredToken]:
        """The tokens with these hashes, whatever they are worth."""

    async def has_tokens(self) -> bool:
        """Whether there ever was a token."""

    async def holding(self, tenant: str, stream: str) -> Holding:
        """How much is kept for a tenant, or (with a stream) in that stream."""


@runtime_checkable
class Engine(Streams, Jobs, Models, Answers, Keeper, Protocol):
    """All of it, of all tenants: the names of one begin with `tenant/`.

    Lists can be had of one tenant: "" is those of none, None those of all.
    """

    async def streams(self, size: int, token: str, tenant: str | None = None) -> Page[Stream]:
        """A page of streams by name."""

    async def jobs(self, size: int, token: str, tenant: str | None = None) -> Page[Job]:
        """A page of jobs, the newest first."""

    async def models(self, size: int, token: str, tenant: str | None = None) -> Page[ModelVersion]:
        """The newest version of every model, by name."""

    async def aliases(self, size: int, token: str, tenant: str | None = None) -> Page[Alias]:
        """A page of aliases, by name."""

    async def ready(self) -> None:
        """Return when the store is open; raise what keeps it from opening."""

    def stopped(self) -> str:
        """Why nothing more is stored until the store is opened again; empty: it is. Never waits."""

    def drain(self) -> None:
        """The server is about to stop: take up nothing that lasts. Calls may still come."""

    async def close(self) -> None:
        """Stop jobs at their last checkpoint and close the store. No other call follows."""


@runtime_checkable
class Trainer(Protocol):
    """Runs jobs of the catalogue somewhere: in this process or on a cluster.

    What should become of a running job it learns from the catalogue, where `Jobs.wish` writes it.
    """

    async def start(self, job_id: str, term: int) -> None:
        """Run a queued job, or a paused one from its last checkpoint; return once it has begun.

        What the job writes into the catalogue carries the term, and so do its questions.
        """

    async def close(self) -> None:
        """Stop all jobs at their last checkpoint; others may be started later."""
