"""Sessions through the socket: setup first, turns in order, interrupted at any time."""

import asyncio
from typing import Any

import grpc
import pytest

from rankspace.generation.request import Ask, Interrupt, Target, Turn
from rankspace.media.sample import Part
from rankspace.v1 import generation_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.v1.generation_pb2_grpc import GenerationServiceStub
from rankspace.wire.generation import write_turn
from services.errors import BUG
from tests.services.parrot import ParrotEngine
from tests.services.refusal import refusal

SETUP = pb.GenerateRequest(setup=pb.GenerateSetup(model="default"))
HELLO = Part("text", b"hello")


def ask(role: str = "") -> Ask:
    return Ask(Target(modality="text", role=role))


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return GenerationServiceStub(channel)


async def converse(stub: Any, *turns: Turn) -> list[pb.GenerateResponse]:
    """One session in which all is said at once."""
    return [answer async for answer in stub.Generate(iter([SETUP, *map(write_turn, turns)]))]


def said(responses: list[pb.GenerateResponse]) -> bytes:
    return b"".join(response.delta.data for response in responses)


async def test_a_session_answers_what_it_heard(stub: Any, engine: ParrotEngine) -> None:
    complete, *deltas = await converse(stub, HELLO, ask())
    assert complete.setup_complete.model_version == "models/parrot/versions/1"
    assert complete.setup_complete.session_id == "session-1"
    assert said(deltas) == b"hello"
    assert [delta.delta.sequence for delta in deltas] == [*range(len(deltas))]
    assert [delta.delta.final for delta in deltas] == [False] * 5 + [True]
    assert deltas[-1].delta.usage.answer_symbols == 5
    assert engine.sessions[0].closed.is_set()


async def test_a_session_has_further_turns(stub: Any) -> None:
    responses = await converse(stub, HELLO, ask(), Part("text", b"!"), ask())
    assert said(responses) == b"hellohello!"


async def test_a_turn_that_fails_leaves_the_session_open(stub: Any) -> None:
    _, error, *deltas = await converse(stub, HELLO, ask("refuse"), ask())
    assert (error.error.reason, error.error.field) == ("NOT_FOUND", "ask.target.role")
    assert said(deltas) == b"hello"


UNREADABLE = {
    "request": pb.GenerateRequest(),
    "setup": SETUP,
    "part": pb.GenerateRequest(part=media_pb2.Part(role="word")),
}
UNHEARD = {"part.data": write_turn(Part("text", b"?", role="refuse"))}


@pytest.mark.parametrize(("field", "bad"), [*(UNREADABLE | UNHEARD).items()])
async def test_a_turn_has_one_answer_the_first_refusal_of_anything_in_it(
    stub: Any, field: str, bad: pb.GenerateRequest
) -> None:
    later, turn = write_turn(Part("text", b" again")), write_turn(ask())
    call = stub.Generate(
        iter([SETUP, write_turn(HELLO), bad, later, *UNREADABLE.values(), turn, later, turn])
    )
    _, refused, *deltas = [answer async for answer in call]
    assert refused.error.field == field
    assert said(deltas) == b"hello again"


async def test_an_ask_that_cannot_be_read_ends_its_turn(stub: Any) -> None:
    bad = write_turn(ask())
    bad.ask.sampling.beta = -1
    call = stub.Generate(iter([SETUP, write_turn(HELLO), bad, write_turn(ask())]))
    _, refused, *deltas = [answer async for answer in call]
    assert refused.error.field == "ask.sampling.beta"
    assert said(deltas) == b"hello"


async def test_what_was_refused_and_never_asked_about_is_told_at_the_end(stub: Any) -> None:
    _, *rest = [answer async for answer in stub.Generate(iter([SETUP, *UNREADABLE.values()]))]
    assert [answer.error.field for answer in rest] == ["request"]


async def test_an_answer_that_never_ends_can_be_interrupted(stub: Any) -> None:
    call = stub.Generate()
    for request in (SETUP, write_turn(HELLO), write_turn(ask("on"))):
        await call.write(request)
    assert (await call.read()).HasField("setup_complete")
    assert (await call.read()).delta.data == b"h"
    await call.write(write_turn(Interrupt()))
    while not (delta := (await call.read()).delta).final:
        pass
    assert delta.usage.interrupted
    await call.write(write_turn(ask()))
    assert (await call.read()).delta.data == b"h"
    call.cancel()


async def test_an_interrupt_stops_what_was_asked_before_it_only(stub: Any) -> None:
    responses = await converse(stub, HELLO, ask("on"), Interrupt(), ask())
    finals = [response.delta for response in responses if response.delta.final]
    assert [final.usage.interrupted for final in finals] == [True, False]
    assert said(responses).endswith(b"hello")


async def test_a_bug_ends_the_call_and_tells_nothing(stub: Any, engine: ParrotEngine) -> None:
    call = stub.Generate(iter([SETUP, write_turn(HELLO), write_turn(ask("break"))]))
    assert (await call.read()).HasField("setup_complete")
    code, reason, _, text = await refusal(call.read())
    assert (code, reason, text) == (grpc.StatusCode.INTERNAL, "RANKSPACE_ERROR", BUG)
    assert engine.sessions[0].closed.is_set()


async def test_a_client_that_goes_away_closes_its_session(stub: Any, engine: ParrotEngine) -> None:
    call = stub.Generate()
    for request in (SETUP, write_turn(HELLO), write_turn(ask("on"))):
        await call.write(request)
    await call.read()
    call.cancel()
    async with asyncio.timeout(5):
        await engine.sessions[0].closed.wait()


async def test_the_setup_comes_first(stub: Any) -> None:
    call = stub.Generate(iter([write_turn(ask())]))
    code, reason, field, _ = await refusal(call.read())
    assert (code, reason, field) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", "setup")


async def test_parts_are_counted_before_the_model_sees_them(stub: Any) -> None:
    assert (await refusal(stub.Embed(pb.EmbedRequest())))[2] == "parts"
    assert (await refusal(stub.Score(pb.ScoreRequest(parts=[media_pb2.Part()]))))[2] == "parts[0]"
    part = media_pb2.Part(text=media_pb2.Text(utf8=b"x"))
    assert (await stub.Embed(pb.EmbedRequest(parts=[part]))).vector == [1.0]
    scored = await stub.Score(pb.ScoreRequest(parts=[part]))
    assert scored.model_version == "models/parrot/versions/1"


async def test_what_is_not_there_yet_says_so(stub: Any) -> None:
    code, reason, _, text = await refusal(stub.Feedback(pb.FeedbackRequest()))
    assert (code, reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_BUILT")
    assert "nothing of it was kept" in text
