"""Clients of what a stream keeps: refused samples tried again, streams deleted and made anew."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import grpc

from rankspace.client.failures import failure
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire.media import write_sample
from tests.robustness.calls import ERA, PATIENCE_S, Caller, wire_name
from tests.robustness.clients import own, write
from tests.robustness.contents import key_of, sample
from tests.robustness.history import now

Chance = random.Random
ANEW_S = 1.0
"""How long a stream lives before it is deleted, about."""

LATE_S = 1.5


async def retry(caller: Caller, stream: str, chance: Chance) -> None:
    """List the refused samples, look at one, try it again; for ever."""
    while True:
        await asyncio.sleep(0.1 + 0.3 * chance.random())
        offsets = await listed(caller, stream)
        if not offsets:
            continue
        offset = chance.choice(offsets)
        name = await _shown(caller, stream, offset)
        if name and chance.random() < 0.5:
            await _tried(caller, stream, offset, name)


async def listed(caller: Caller, stream: str) -> tuple[int, ...]:
    """The offsets of all refused samples that are kept; () as well where there is no answer."""
    began, offsets = now(), list[int]()
    request = pb.ListRejectsRequest(stream=wire_name(stream), page_size=50)
    more = True
    while more:
        try:
            page = await caller.stub.ListRejects(request, timeout=PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            caller.ended(error, "rejects", stream, began)
            return ()
        offsets += [reject.offset for reject in page.rejects]
        request.page_token = page.next_page_token
        more = bool(page.next_page_token)
    caller.note("rejects", stream, began, refused=tuple(offsets))
    return tuple(offsets)


async def _shown(caller: Caller, stream: str, offset: int) -> str:
    """The name of a refused sample, if it is still there; the history says what was shown."""
    began = now()
    request = pb.GetRejectRequest(stream=wire_name(stream), offset=offset)
    try:
        found = await caller.stub.GetReject(request, timeout=PATIENCE_S)
    except grpc.aio.AioRpcError as error:
        caller.ended(error, "rejects", stream, began, offset=offset)
        return ""
    name = str(found.reject.sample_id)
    as_sent = found.sample == write_sample(sample(name))
    keys = (key_of(name) if as_sent else "other",)
    caller.note("rejects", stream, began, offset=offset, keys=keys)
    return name


async def _tried(caller: Caller, stream: str, offset: int, name: str) -> None:
    """Try a refused sample again: an append at the end, by the server."""
    began = now()
    said: dict[str, Any] = {"keys": (key_of(name),)}
    request = pb.RetryRejectRequest(stream=wire_name(stream), offset=offset)
    try:
        with caller.unheard("append", stream, began, **said):
            answer = await caller.stub.RetryReject(request, timeout=PATIENCE_S)
    except grpc.aio.AioRpcError as error:
        reason = failure(error).reason()
        refused = reason in ("INVALID_INPUT", "LIMIT_EXCEEDED", "MALFORMED_MEDIA", "NOT_FOUND")
        outcome = "refused" if refused else "unknown"
        caller.note("append", stream, began, outcome=outcome, reason=reason, **said)
        caller.note("retry", stream, began, offset=offset, outcome=outcome, reason=reason)
        return
    said |= {"first": answer.offset, "next": answer.offset + 1}
    caller.note("append", stream, began, **said)
    caller.note("retry", stream, began, offset=offset)


async def make_anew(
    make: Callable[[str], Caller], stream: str, chance: Chance, eras: list[str]
) -> None:
    """Write to a stream, read it, delete it, make it again; for ever. `eras` are its names."""
    owner = make("owner")
    writers = [make(f"brief{number}") for number in range(2)]
    for number in count():
        era = f"{stream}{ERA}{number}"
        if number:
            eras.clear()
            await _until_done(owner, "DeleteStream", pb.DeleteStreamRequest(name=wire_name(era)))
        await _until_done(owner, "CreateStream", pb.CreateStreamRequest(stream_id=stream))
        eras.append(era)
        await _live(writers, era, chance)
        whole = False
        while not whole:
            await owner.figures("look", era)
            _, whole = await owner.read(era, 0)
            await asyncio.sleep(0 if whole else 0.1)


async def _live(writers: list[Caller], era: str, chance: Chance) -> None:
    """Let writers write for a while."""
    work: list[Coroutine[Any, Any, None]] = []
    for caller in writers:
        name = f"{caller.name}{era[era.index(ERA) + 1 :]}"
        work.append(write(caller, era, own(name, chance, True), chance))
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.sleep(ANEW_S * (0.5 + chance.random()))
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if not isinstance(error, asyncio.CancelledError) and isinstance(error, BaseException):
            raise error


async def _until_done(caller: Caller, method: str, request: Any) -> None:
    """Ask until it is done; that it was done already is an answer too."""
    while True:
        try:
            await getattr(caller.stub, method)(request, timeout=PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            done = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS
            if error.code() in done:
                return
            await asyncio.sleep(LATE_S)  # what was asked for may still be under way
        else:
            return
