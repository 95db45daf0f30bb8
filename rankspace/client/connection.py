"""One connection to a server: where it is, who asks, and how long to bear with it.

Nothing starts before the first call, so a client may be made anywhere and a process may fork before
it uses one. In a child forked later gRPC does not work (grpc#32992); it is told so instead of
hanging.
"""

import asyncio
import ipaddress
import json
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc

from rankspace.client.failures import failure
from rankspace.errors import (
    InvalidConfig,
    Overloaded,
    RankspaceError,
    Refused,
    TimedOut,
    Unreachable,
)

Request = TypeVar("Request")
Response = TypeVar("Response")


class Listing(Protocol):
    """What asks for a page of a list."""

    page_token: str


class Listed(Protocol):
    """A page of it."""

    next_page_token: str


Asking = TypeVar("Asking", bound=Listing)
Page = TypeVar("Page", bound=Listed)

MESSAGE_BYTES_MAX = 128 << 20
"""Largest message taken from a server."""

FORKED = (
    "the client was used before this process was forked, which gRPC does not survive; "
    "use clients in the child only, or start processes by spawn"
)

REPEATABLE = {
    "IngestionService": ("GetStream", "ListStreams", "FinalizeStream"),
    "TrainingService": ("CreateJob", "GetJob", "ListJobs", "CancelJob", "PauseJob", "ResumeJob"),
    "ModelService": ("GetModelVersion", "ListModelVersions", "GetAlias", "ListAliases"),
    "GenerationService": ("Embed", "Score", "Feedback"),
}
"""Calls that may be made twice; gRPC repeats them while the server is UNAVAILABLE (AIP-194)."""

OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", -1),  # the server says what it takes
    ("grpc.use_local_subchannel_pool", 1),
    # Notice within a minute that a silent server is gone.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Once a server is back, be there within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    (
        "grpc.service_config",
        json.dumps(
            {
                "methodConfig": [
                    {
                        "name": [
                            {"service": f"rankspace.v1.{service}", "method": method}
                            for service, methods in REPEATABLE.items()
                            for method in methods
                        ],
                        "retryPolicy": {
                            "maxAttempts": 3,
                            "initialBackoff": "0.1s",
                            "maxBackoff": "1s",
                            "backoffMultiplier": 3,
                            "retryableStatusCodes": ["UNAVAILABLE"],
                        },
                    }
                ]
            }
        ),
    ),
]


@dataclass(frozen=True, slots=True)
class Tls:
    """Keys in PEM. Without roots, the system's; certificate and key say who the client is."""

    roots: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None


class Patience:
    """How long to go on trying: `limit_s` since the last step forward, in growing pauses."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self.renew()

    def renew(self) -> None:
        """There was a step forward."""
        self._pause_s = 0.1
        self._until: float | None = None

    async def wait(self, error: RankspaceError) -> None:
        """Pause after an error that may pass, or raise it when patience is at its end."""
        if not isinstance(error, Unreachable | Overloaded):
            raise error
        if isinstance(error, TimedOut):  # the call was idle: the server was there, and bore with us
            self.renew()
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + self._limit_s
        if now >= self._until:
            raise error
        # Jitter, so that the clients of a server that comes back do not come back at once.
        pause_s = max(self._pause_s * random.uniform(0.5, 1.5), error.retry_after_s)  # noqa: S311
        await asyncio.sleep(min(pause_s, self._until - now))
        self._pause_s = min(2 * self._pause_s, 2.0)


class Connection:
    """A lazy channel to one server, and what every call carries."""

    def __init__(
        self,
        target: str,
        *,
        token: str | None = None,
        tls: Tls | bool | None = None,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
    ) -> None:
        """Say where the server is.

        `tls`: None means TLS to every host but this one. `timeout_s` bounds one answer.
        `patience_s` bounds how long a streaming call goes on reconnecting without a step forward.
        """
        here = _is_this_host(target)
        if tls is None or tls is True:
            tls = None if here and tls is None else Tls()
        if token and not tls and not here:
            raise InvalidConfig("a token must not cross a network in the clear; use tls", "tls")
        self.target, self.timeout_s, self.patience_s = target, timeout_s, patience_s
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._tls = tls or None
        self._channel: grpc.aio.Channel | None = None
        self._process = 0

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel, made at first use."""
        if self._channel is None:
            self._channel, self._process = self._open(), os.getpid()
        if self._process != os.getpid():
            raise Refused(FORKED)
        return self._channel

    def _open(self) -> grpc.aio.Channel:
        if self._tls is None:
            return grpc.aio.insecure_channel(self.target, OPTIONS)
        keys = grpc.ssl_channel_credentials(self._tls.roots, self._tls.key, self._tls.certificate)
        return grpc.aio.secure_channel(self.target, keys, OPTIONS)

    async def call(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request
    ) -> Response:
        """Make one call with one answer."""
        with self.failures():
            return await method(request, timeout=self.timeout_s, metadata=self.metadata)

    async def pages(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Asking, Page]", request: Asking
    ) -> AsyncIterator[Page]:
        """The pages of a list, one after the other; `request` moves along."""
        while True:
            page = await self.call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn what a call ends with into a leaf of `rankspace.errors`."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            found = failure(error)
            if isinstance(found, Unreachable):
                found = Unreachable(f"no server answers at {self.target}: {found}")
            raise found from error

    async def close(self) -> None:
        """Close the connection; running calls end. A later call opens it anew."""
        channel, self._channel = self._channel, None
        if channel is not None and self._process == os.getpid():
            await channel.close()


def _is_this_host(target: str) -> bool:
    if target.startswith("unix:"):
        return True
    host = target.rpartition("/")[2].rpartition(":")[0].strip("[]") or target
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
