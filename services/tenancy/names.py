"""The names of the caller, there and back."""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rankspace.errors import InvalidInput, NotFound, RankspaceError
from rankspace.store.entries import Alias, Job, ModelVersion, Page, Stream
from rankspace.training.job import JobConfig
from services.auth import caller

REQUEST_CHARS_MAX = 200
Found = TypeVar("Found")
Listed = Callable[[int, str, str], Awaitable[Page[Found]]]
"""What the engine lists: so many of a tenant's, from a name on."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one tenant."""

    tenant: str

    def full(self, name: str, field: str = "name") -> str:
        """What the engine calls it; no name of a caller's can be another tenant's."""
        if "/" in name:
            raise InvalidInput(f"{field} holds no /", field)
        return f"{self.tenant}/{name}" if self.tenant else name

    def plain(self, value: Any) -> Any:
        """A text, or plain data of texts, in the caller's names."""
        if not self.tenant:
            return value
        if isinstance(value, str):
            return re.sub(rf"(?<![\w.-]){re.escape(self.tenant)}/(?=[a-z0-9])", "", value)
        if isinstance(value, Mapping):
            return {self.plain(key): self.plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(self.plain, value))
        return value

    def request(self, request_id: str) -> str:
        """What the engine calls a request: it tells whose the job is."""
        marked = request_id.replace("%", "%25").replace("/", "%2F")
        if len(marked) > REQUEST_CHARS_MAX:
            raise InvalidInput("a request id has 200 characters at most", "request_id")
        if self.tenant:
            return f"{self.tenant}/{marked or secrets.token_hex(16)}"
        return marked

    async def page(self, listed: Listed[Found], size: int, token: str) -> Page[Found]:
        """A page of what is this tenant's, in the order of the engine's names."""
        start = token and self.full(token, "page_token")
        page = await listed(size, start, self.tenant)
        return Page(page.items, self.plain(page.next_token))

    def stream(self, found: Stream) -> Stream:
        """A stream as its tenant sees it."""
        return replace(found, name=self.plain(found.name))

    def job(self, found: Job) -> Job:
        """A job as its tenant sees it; NotFound to others."""
        owner, slash, request = found.request_id.rpartition("/")
        if (owner if slash else "") != self.tenant:
            raise NotFound(f"there is no job {found.job_id}", "job_id")
        return replace(
            found,
            request_id=request.replace("%2F", "/").replace("%25", "%"),
            config=self.plain(found.config),
            last_event=self.plain(found.last_event),
        )

    def model(self, found: ModelVersion) -> ModelVersion:
        """A version as its tenant sees it."""
        return replace(found, name=self.plain(found.name), lineage=self.plain(found.lineage))

    def alias(self, found: Alias) -> Alias:
        """An alias as its tenant sees it."""
        names = {"alias": found.alias, "name": found.name, "history": found.history}
        return replace(found, **self.plain(names))

    def config(self, config: JobConfig) -> JobConfig:
        """What a job is told, in the engine's names."""
        streams = tuple(self.full(stream, "config.streams") for stream in config.streams)
        weights = {self.full(name, "config.weights"): at for name, at in config.weights.items()}
        names = {
            "model": self.full(config.model, "config.model"),
            "alias": config.alias and self.full(config.alias, "config.alias"),
        }
        return config.model_copy(update={"streams": streams, "weights": weights, **names})


@contextmanager
def own_names() -> Iterator[Names]:
    """The caller's names; errors that leave the block are told in them."""
    names = Names(caller().tenant)
    try:
        yield names
    except RankspaceError as error:
        error.message = names.plain(error.message)
        error.args = (error.message, *error.args[1:])
        raise
