"""Holders of tokens, for tests: made in the store of a running server."""

import time

import grpc

from rankspace.store.access import StoredToken
from rankspace.store.store import Store
from services.auth import SCOPES, Scope, digest
from services.auth.tokens import new_secret

Metadata = tuple[tuple[str, str], ...]


def issue(
    store: Store,
    name: str,
    scopes: tuple[Scope, ...] = SCOPES,
    tenant: str = "",
    lasts_s: float | None = None,
) -> str:
    """A token that the store knows from now on."""
    secret, now_us = new_secret(), time.time_ns() // 1000
    expires_us = None if lasts_s is None else now_us + int(lasts_s * 1e6)
    kept = StoredToken(name, digest(secret), scopes, tenant, now_us, expires_us, None)
    store.access.create(kept)
    return secret


def bearing(token: str) -> Metadata:
    """What a call carries."""
    return (("authorization", f"Bearer {token}"),)


def dial(port: int) -> grpc.aio.Channel:
    """A connection of one's own."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
