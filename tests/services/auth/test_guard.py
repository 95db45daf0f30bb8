"""Callers told from strangers: tokens that are made, expire and are revoked while a server runs."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from rankspace.errors import Denied, Forbidden
from rankspace.store.access import StoredToken
from rankspace.v1 import generation_pb2 as gen
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.generation_pb2_grpc import GenerationServiceStub
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from services.auth import ANYONE, AuthConfig, Caller, Certificate, Guard, asks, caller, digest
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.holders import bearing, dial, issue
from tests.services.parrot import ParrotEngine
from tests.services.refusal import refusal

LIST = pb.ListStreamsRequest()
PATH = "/rankspace.v1.IngestionService/ListStreams"
RECHECK_S = 0.2


class Shelf:
    """A register in memory that counts how often it is asked."""

    def __init__(self, *kept: StoredToken) -> None:
        self.kept = {token.sha256: token for token in kept}
        self.asked = 0

    async def tokens(self, digests: Sequence[str]) -> dict[str, StoredToken]:
        self.asked += 1
        return {name: self.kept[name] for name in digests if name in self.kept}

    async def has_tokens(self) -> bool:
        return bool(self.kept)


def kept(name: str, secret: str, expires_us: int | None = None) -> StoredToken:
    return StoredToken(name, digest(secret), ("read",), "acme", 0, expires_us, None)


def door(auth: AuthConfig | None = None) -> GatewayConfig:
    auth = auth or AuthConfig(recheck_s=RECHECK_S)
    return GatewayConfig(address="127.0.0.1:0", auth=auth, grace_s=0)


async def test_a_token_is_looked_up_once_in_a_while_and_a_guess_is_never_remembered() -> None:
    shelf = Shelf(kept("ann", "s"))
    guard = Guard(AuthConfig(recheck_s=30.0, remembered_max=1), shelf)
    for _ in range(5):
        found = await guard.who(PATH, bearing("s"), {})
        assert found == Caller("ann", frozenset({"read"}), "acme", digest("s"))
    assert shelf.asked == 1
    for guess in range(5):
        with pytest.raises(Denied):
            await guard.who(PATH, bearing(f"guess {guess}"), {})
    assert len(guard._remembered) == 1


async def test_an_expired_token_is_worth_nothing_even_while_it_is_remembered() -> None:
    soon_us = time.time_ns() // 1000 + 50_000
    guard = Guard(AuthConfig(recheck_s=30.0), Shelf(kept("ann", "s", soon_us)))
    assert (await guard.who(PATH, bearing("s"), {})).name == "ann"
    await asyncio.sleep(0.06)
    with pytest.raises(Denied, match="expired"):
        await guard.who(PATH, bearing("s"), {})
    assert await guard.worthless([digest("s"), digest("t")]) == {digest("s"), digest("t")}


async def test_a_certificate_names_a_caller_by_its_alternative_name_first() -> None:
    known = Certificate(identity="edge-1", name="edge", scopes=("ingest",), tenant="acme")
    guard = Guard(AuthConfig(certificates=(known,)), Shelf())
    shown = {"x509_subject_alternative_name": [b"edge-1"], "x509_common_name": [b"other"]}
    assert (await guard.who(PATH, (), shown)).name == "edge"
    for other in ({}, {"x509_common_name": [b"edge-2"]}, shown | {next(iter(shown)): [b"x"]}):
        with pytest.raises(Denied):
            await guard.who(PATH, (), other)
    anyone = Guard(AuthConfig(), Shelf())
    assert (await anyone.who(PATH, (), shown)).name == "edge-1"
    assert await anyone.who(PATH, (), {}) is ANYONE


async def test_where_a_token_is_asked_for_a_certificate_nobody_listed_is_not_enough() -> None:
    guard = Guard(AuthConfig(), Shelf(kept("ann", "s")))
    with pytest.raises(Denied):
        await guard.who(PATH, (), {"x509_common_name": [b"edge"]})


async def test_required_refuses_before_there_is_a_token() -> None:
    with pytest.raises(Denied):
        await Guard(AuthConfig(required=True), Shelf()).who(PATH, (), {})


async def test_a_method_without_a_row_is_for_nobody() -> None:
    with pytest.raises(Forbidden):
        Guard(AuthConfig(), Shelf()).allow(ANYONE, "/other.Service/Method")


async def test_who_asks_is_known_inside_a_call_and_in_what_it_starts() -> None:
    ann = Caller("ann", tenant="acme")
    with asks(ann):
        assert await asyncio.create_task(asyncio.sleep(0, caller())) is ann
    assert caller() is ANYONE


async def test_the_first_token_closes_the_door_and_a_revoked_one_does_not_open_it(
    engine: ParrotEngine,
) -> None:
    async with running(door(), engine) as port, dial(port) as channel:
        stub: Any = IngestionServiceStub(channel)
        assert await stub.ListStreams(LIST) is not None
        token = issue(engine.store, "ann")
        await asyncio.sleep(2 * RECHECK_S)
        assert (await refusal(stub.ListStreams(LIST)))[0] == grpc.StatusCode.UNAUTHENTICATED
        assert await stub.ListStreams(LIST, metadata=bearing(token)) is not None
        engine.store.access.revoke("ann")
        await asyncio.sleep(2 * RECHECK_S)
        for metadata in ((), bearing(token)):
            code, *_ = await refusal(stub.ListStreams(LIST, metadata=metadata))
            assert code == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("way", ["revoked", "expired"])
async def test_open_calls_end_when_their_token_does(engine: ParrotEngine, way: str) -> None:
    lasts_s = 1.0 if way == "expired" else None
    token, other = issue(engine.store, "ann", lasts_s=lasts_s), issue(engine.store, "bob")
    engine.store.log.create("s")
    async with running(door(), engine) as port, dial(port) as channel:
        sessions: Any = GenerationServiceStub(channel)
        streams: Any = IngestionServiceStub(channel)
        follow = pb.ReadSamplesRequest(stream="streams/s", follow=True)
        calls = [
            sessions.Generate(metadata=bearing(token)),
            streams.ReadSamples(follow, metadata=bearing(token)),
        ]
        stays = sessions.Generate(metadata=bearing(other))
        for session in (calls[0], stays):
            await session.write(gen.GenerateRequest(setup=gen.GenerateSetup()))
            assert (await session.read()).HasField("setup_complete")
        began = time.monotonic()
        if way == "revoked":
            engine.store.access.revoke("ann")
        for call in calls:
            code, reason, *_ = await refusal(call.read())
            assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "DENIED")
        assert time.monotonic() - began < (lasts_s or 0) + 2 * RECHECK_S + 1.0
        await stays.done_writing()
        assert await stays.read() is grpc.aio.EOF
