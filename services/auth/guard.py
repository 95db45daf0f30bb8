"""Tells callers from strangers, and what they may from what they may not.

The store's word on a token is believed for `recheck_s`, so that a call costs no look-up. What the
store does not know is not remembered: guesses fill no memory.
"""

import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from rankspace.errors import Denied, Forbidden
from rankspace.store.access import StoredToken
from services.auth.callers import ANYONE, Caller
from services.auth.config import AuthConfig
from services.auth.rules import RULES, SCOPES, Rule, Scope
from services.auth.tokens import digest, sent

Metadata = Sequence[tuple[str, str | bytes]]
Peer = Mapping[str, Iterable[bytes]]
"""What TLS knows of the other side, as gRPC words it."""

_NAMES = ("x509_subject_alternative_name", "x509_common_name")
_WORTHLESS = "the token is unknown, was revoked or has expired; ask who runs the server for one"


@runtime_checkable
class Register(Protocol):
    """Where tokens are kept."""

    async def tokens(self, digests: Sequence[str]) -> dict[str, StoredToken]:
        """The tokens with these hashes, whatever they are worth."""

    async def has_tokens(self) -> bool:
        """Whether there ever was one."""


class Guard:
    """Who may in."""

    def __init__(self, config: AuthConfig, register: Register) -> None:
        self._config = config
        self._register = register
        self._kept = {token.sha256: token for token in config.tokens}
        self._remembered: OrderedDict[str, tuple[float, StoredToken]] = OrderedDict()
        self._guarded = bool(config.tokens) or config.required
        self._asked_at = float("-inf")

    async def who(self, method: str, metadata: Metadata, peer: Peer) -> Caller:
        """Who asks; Denied to strangers."""
        if rule(method).everyone:
            return ANYONE
        token = sent(metadata) if await self._is_guarded() else ""
        if token:
            return await self._holder(digest(token))
        return await self._named(peer)

    def allow(self, caller: Caller, method: str) -> None:
        """Forbidden unless the caller may."""
        wanted = rule(method).scopes
        if not wanted:
            raise Forbidden("nobody may make this call")
        if not (wanted | {"admin"}) & caller.scopes:
            needs = " or ".join(scope for scope in SCOPES if scope in wanted)
            raise Forbidden(f"{caller.name} may not make this call; it needs the scope {needs}")

    async def worthless(self, hashes: Iterable[str]) -> frozenset[str]:
        """Which of the store's tokens are worth nothing now."""
        wanted = frozenset(hashes)
        now_us = time.time_ns() // 1000
        found = await self._look_up(wanted)
        return wanted - {token.sha256 for token in found if token.holds(now_us)}

    async def _is_guarded(self) -> bool:
        """Whether callers must say who they are; once so, always so."""
        now = time.monotonic()
        if not self._guarded and now - self._asked_at >= self._config.recheck_s:
            self._guarded = await self._register.has_tokens()
            self._asked_at = now
        return self._guarded

    async def _holder(self, hashed: str) -> Caller:
        for known, kept in self._kept.items():
            if hmac.compare_digest(known, hashed):
                return Caller(kept.name, frozenset(kept.scopes), kept.tenant)
        at, found = self._remembered.get(hashed, (float("-inf"), None))
        if time.monotonic() - at >= self._config.recheck_s:
            found = next(iter(await self._look_up([hashed])), None)
        if found is None or not found.holds(time.time_ns() // 1000):
            raise Denied(_WORTHLESS)
        return Caller(found.name, _scopes(found.scopes), found.tenant, hashed)

    async def _look_up(self, hashes: Iterable[str]) -> list[StoredToken]:
        """The tokens that the store knows, remembered for the calls to come."""
        wanted = list(hashes)
        found = list((await self._register.tokens(wanted)).values()) if wanted else []
        for token in found:
            self._remember(token)
        return found

    def _remember(self, token: StoredToken) -> None:
        self._remembered[token.sha256] = time.monotonic(), token
        self._remembered.move_to_end(token.sha256)
        while len(self._remembered) > self._config.remembered_max:
            self._remembered.popitem(last=False)

    async def _named(self, peer: Peer) -> Caller:
        """Who a certificate names, or anyone where nobody needs to say."""
        found = next(filter(None, (list(peer.get(key, ())) for key in _NAMES)), [])
        names = [name.decode("utf-8", "replace") for name in found]
        for certificate in self._config.certificates:
            if certificate.identity in names:
                return Caller(certificate.name, frozenset(certificate.scopes), certificate.tenant)
        if self._config.certificates or await self._is_guarded():
            raise Denied("who asks is unknown; send authorization: Bearer <token>")
        return Caller(names[0]) if names else ANYONE


def rule(method: str) -> Rule:
    """What a method asks of its caller; one without a row asks what nobody has."""
    return RULES.get(method, Rule(frozenset()))


def _scopes(names: Iterable[str]) -> frozenset[Scope]:
    return frozenset(scope for scope in SCOPES if scope in names)
