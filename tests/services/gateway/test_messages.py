"""What the door sees of messages: each with its size, and bytes that are none."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import InvalidInput
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from services.auth.guard import rule
from services.gateway.calls import current
from services.gateway.messages import Heard, reading
from tests.services.refusal import refusal

APPEND = "/rankspace.v1.IngestionService/AppendSamples"
NONE = b"\xff\xff\xff"


async def heard(sent: list[bytes]) -> list[tuple[pb.AppendSamplesRequest, int]]:
    """The messages, each with the size that it was told to have."""
    read = reading(pb.AppendSamplesRequest.FromString)

    async def coming() -> AsyncIterator[Any]:
        for data in sent:
            yield read(data)

    messages = Heard(coming(), current(APPEND, rule(APPEND), True, True))
    return [(message, messages.bytes) async for message in messages]


@given(texts=st.lists(st.binary(max_size=300), max_size=5))
async def test_every_message_comes_with_what_it_weighed_on_the_wire(texts: list[bytes]) -> None:
    sent = [
        pb.AppendSamplesRequest(
            batch=pb.SampleBatch(
                samples=[media_pb2.Sample(parts=[media_pb2.Part(text=media_pb2.Text(utf8=text))])]
            )
        )
        for text in texts
    ]
    wire = [message.SerializeToString() for message in sent]
    assert await heard(wire) == [(one, len(data)) for one, data in zip(sent, wire, strict=True)]


async def test_bytes_that_are_no_message_are_refused_in_words_of_ours() -> None:
    with pytest.raises(InvalidInput, match="no message that this call takes"):
        await heard([b"", NONE])


async def test_a_call_ends_at_bytes_that_are_no_message(channel: grpc.aio.Channel) -> None:
    method: Any = channel.stream_stream(APPEND)
    code, reason, _, text = await refusal(method(iter([NONE])).read())
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
    assert "no message that this call takes" in text
