"""What a call of AppendSamples works with: its messages, who writes, and what all calls share."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from rankspace.store.entries import Durability
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire.intake import Plain
from services.desk import Desk
from services.ingestion.config import IngestionConfig
from services.ingestion.credits import Credits
from services.quotas import Quotas
from services.sandbox.decoding import Sandbox

GROWN_AT_ONCE = 2
"""Batches of the whole server whose growing media are in memory at the same time."""


@runtime_checkable
class Requests(Protocol):
    """The messages of a call, as they come."""

    bytes: int
    """What the newest weighed on the wire."""

    def __aiter__(self) -> AsyncIterator[pb.AppendSamplesRequest]:
        """Once."""


Came: TypeAlias = pb.AppendSamplesRequest | Plain
"""A message as it was read."""


@dataclass(slots=True)
class Item:
    """One message on its way through the call."""

    came: Came
    size: int
    read_at: float = field(default_factory=time.monotonic)
    span: Any = None
    """Its part of the caller's trace, if one is made."""

    @property
    def plain(self) -> Plain | None:
        """The batch, if it was read in one go."""
        return self.came if isinstance(self.came, Plain) else None

    @property
    def what(self) -> str | None:
        """The name of what it carries."""
        if isinstance(self.came, Plain):
            return "batch"
        return self.came.WhichOneof("request")

    @property
    def samples(self) -> int:
        """Of its batch."""
        if isinstance(self.came, Plain):
            return self.came.offsets
        return len(self.came.batch.samples)

    def message(self) -> pb.AppendSamplesRequest:
        """As protobuf reads it."""
        if isinstance(self.came, Plain):
            self.came = pb.AppendSamplesRequest.FromString(self.came.message)
        return self.came


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes where, and how."""

    stream: str
    epoch: int
    durability: Durability
    keep_rejects: bool
    strip: bool = False
    """Store media without metadata."""


class Room:
    """What all calls of a server share: what they hold and may take, and who looks into media."""

    def __init__(self, config: IngestionConfig, quotas: Quotas) -> None:
        self.quotas = quotas
        self.held = Credits(config.held_bytes_max, 1 << 30)
        self.desk = Desk()
        self.sandbox = Sandbox(config.sandbox, config.limits)
        self.grown = asyncio.Semaphore(GROWN_AT_ONCE)
