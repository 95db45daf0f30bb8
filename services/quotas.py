"""How much a tenant or a stream may take, and what it is told beyond that.

Rates are kept by buckets in the memory of this server: two servers on one store let through twice
the rate. A bucket fills with the rate, up to what comes in a second. Whoever finds something in it
may go on and takes it all, into debt if need be, so that a batch of any size passes; the next one
waits until the debt is paid. In the long run nothing passes faster than the rate. What is sent
again costs again. What is stored is asked of the store, at most once a second, and what was let
through since is added.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pydantic import Field

from rankspace.config import Config
from rankspace.errors import QuotaExceeded
from rankspace.store.access import Holding
from services.auth import caller

BELIEVED_S = 1.0
"""How long the store's word on what is stored is believed."""

STORED_RETRY_S = 60.0
"""When to come again where something must be deleted first."""

CALLS_RETRY_S = 1.0
KEPT_MAX = 4096
"""Tenants and streams whose state is kept; the longest unused begins anew."""


class StreamQuota(Config):
    """What one stream may take; 0 is without a bound."""

    bytes_per_s_max: float = Field(default=0.0, ge=0)
    """Bytes appended a second, as they come over the wire."""

    samples_per_s_max: float = Field(default=0.0, ge=0)
    """Samples appended a second."""

    stored_bytes_max: int = Field(default=0, ge=0)
    """Media bytes kept at once."""


class TenantQuota(Config):
    """What one tenant may take; 0 is without a bound."""

    tenant: str = "*"
    """Whose quota it is: "*" is any tenant's without one of its own, "" that of no tenant."""

    bytes_per_s_max: float = Field(default=0.0, ge=0)
    """Bytes appended a second to all of its streams, as they come over the wire."""

    samples_per_s_max: float = Field(default=0.0, ge=0)
    """Samples appended a second to all of its streams."""

    stored_bytes_max: int = Field(default=0, ge=0)
    """Media bytes kept at once in all of its streams."""

    open_streams_max: int = Field(default=0, ge=0)
    """Streams that are not finalized."""

    open_calls_max: int = Field(default=0, ge=0)
    """Calls at work at once."""


class QuotasConfig(Config):
    """How much a tenant or a stream may take."""

    tenants: tuple[TenantQuota, ...] = ()
    """One entry a tenant, or one for all."""

    stream: StreamQuota = StreamQuota()
    """What each stream may take."""


@runtime_checkable
class Holder(Protocol):
    """What knows how much is stored."""

    async def holding(self, tenant: str, stream: str) -> Holding:
        """How much is kept for a tenant, or (with a stream) in that stream."""


@dataclass(slots=True)
class Bucket:
    """What may still be taken, at a rate a second."""

    rate: float
    level: float = 0.0
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.rate

    def wait_s(self, now: float) -> float:
        """How long to wait until something is in it."""
        if self.rate:
            self.level = min(self.rate, self.level + max(0.0, now - self.at) * self.rate)
            self.at = now
        return -self.level / self.rate + 1e-3 if self.rate and self.level <= 0 else 0.0

    def take(self, amount: float) -> None:
        """Take it, into debt if need be."""
        self.level -= amount if self.rate else 0.0


@dataclass(slots=True)
class _Account:
    """What is known of one tenant or stream."""

    bytes: Bucket
    samples: Bucket
    stored_bytes_max: int
    stored: int = 0
    since: int = 0
    asked_at: float = field(default=float("-inf"))


class Quotas:
    """The quotas of all tenants and streams on one server."""

    def __init__(
        self,
        config: QuotasConfig,
        holder: Holder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._holder = holder
        self._clock = clock
        self._quotas = {quota.tenant: quota for quota in config.tenants}
        self._others = self._quotas.get("*", TenantQuota())
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._opening: dict[str, asyncio.Lock] = {}

    async def spend(self, stream: str, samples: int, size: Callable[[], int]) -> None:
        """Let a batch through, or raise QuotaExceeded. `stream` is as its caller names it.

        The size is asked for only where a quota needs it.
        """
        found = list(self._charged(caller().tenant, stream))
        if not found:
            return
        now, amount = self._clock(), size()
        for subject, account in found:
            for what, bucket in (("bytes", account.bytes), ("samples", account.samples)):
                if wait_s := bucket.wait_s(now):
                    raise QuotaExceeded(
                        f"{subject} may append {bucket.rate:g} {what} a second; come again in "
                        f"{wait_s:.3g} s",
                        subject,
                        wait_s,
                    )
        for subject, account in found:
            await self._check_stored(subject, account, amount)
        for _, account in found:
            account.bytes.take(amount)
            account.samples.take(samples)
            account.since += amount

    def check_calls(self, tenant: str, at_work: int) -> None:
        """Raise QuotaExceeded if a tenant has as many calls at work as it may."""
        most = self.of(tenant).open_calls_max
        if most and at_work >= most:
            subject = f"tenant:{tenant}"
            raise QuotaExceeded(f"{subject} may have {most} calls open", subject, CALLS_RETRY_S)

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """Make room for one more open stream, or raise QuotaExceeded; make it in the block."""
        tenant = caller().tenant
        most = self.of(tenant).open_streams_max
        if not most:
            yield
            return
        async with self._opening.setdefault(tenant, asyncio.Lock()):
            held = await self._holder.holding(tenant, "")
            if held.open_streams >= most:
                subject = f"tenant:{tenant}"
                raise QuotaExceeded(
                    f"{subject} may have {most} open streams; finalize or delete one",
                    subject,
                    STORED_RETRY_S,
                )
            yield

    def of(self, tenant: str) -> TenantQuota:
        """The quota of a tenant: its own, else that of all."""
        return self._quotas.get(tenant, self._others)

    def _charged(self, tenant: str, stream: str) -> Iterator[tuple[str, _Account]]:
        """The accounts that an append is charged to, with whose they are."""
        for subject, key, quota in (
            (f"tenant:{tenant}", tenant, self.of(tenant)),
            (f"stream:{stream}", f"{tenant}/{stream}", self._config.stream),
        ):
            if quota.bytes_per_s_max or quota.samples_per_s_max or quota.stored_bytes_max:
                account = self._accounts.get(key) or _Account(
                    Bucket(quota.bytes_per_s_max),
                    Bucket(quota.samples_per_s_max),
                    quota.stored_bytes_max,
                )
                self._accounts[key] = account
                self._accounts.move_to_end(key)
                while len(self._accounts) > KEPT_MAX:
                    self._accounts.popitem(last=False)
                yield subject, account

    async def _check_stored(self, subject: str, account: _Account, amount: int) -> None:
        most = account.stored_bytes_max
        if not most:
            return
        if self._clock() - account.asked_at >= BELIEVED_S:
            account.asked_at, before = self._clock(), account.since
            kind, _, name = subject.partition(":")
            tenant = caller().tenant
            full = f"{tenant}/{name}" if tenant else name
            stream = full if kind == "stream" else ""
            account.stored = (await self._holder.holding(tenant, stream)).bytes
            account.since -= before
        if account.stored + account.since + amount > most:
            raise QuotaExceeded(
                f"{subject} may keep {most} bytes; delete something, or let it expire",
                subject,
                STORED_RETRY_S,
            )
