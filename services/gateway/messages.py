"""What the door sees of messages: that one came, and the name of what a call is about."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.message import DecodeError, Message

from rankspace.errors import InvalidInput
from services.gateway.calls import OpenCall


class Heard:
    """The messages of a caller, each noted as it comes."""

    def __init__(self, messages: AsyncIterator[Any], call: OpenCall) -> None:
        self._messages = messages
        self._coming: AsyncIterator[Any] | None = None
        self._call = call

    def __aiter__(self) -> "Heard":
        return self

    async def __anext__(self) -> Any:
        if self._coming is None:  # not before: gRPC warns of messages that nobody came for
            self._coming = aiter(self._messages)
        message = right(await anext(self._coming))
        self._call.heard()
        if not self._call.about:
            self._call.about = named(message, self._call.rule.about)
        return message

    async def only(self) -> Any:
        """The one message of a caller who sends one."""
        try:
            return await anext(self)
        except StopAsyncIteration:
            raise InvalidInput("this call takes one message; send it") from None


class Garbled:
    """What came in place of a message: bytes that are none."""


def reading(read: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """The same deserializer, but what it cannot read is `Garbled`.

    gRPC would end the call itself, before any code of ours, and tell the caller what protobuf said.
    """

    def tried(data: bytes) -> Any:
        try:
            return read(data) if read is not None else data
        except DecodeError:
            return Garbled()

    return tried


def right(message: Any) -> Any:
    """The message. Raises InvalidInput if there is none."""
    if isinstance(message, Garbled):
        raise InvalidInput("these bytes are no message that this call takes")
    return message


def named(message: Any, path: str) -> str:
    """The text at a path such as "setup.stream"; "" where there is none."""
    found: Any = message
    for name in path.split("."):
        if not isinstance(found, Message) or name not in found.DESCRIPTOR.fields_by_name:
            return ""
        found = getattr(found, name)
    return found if isinstance(found, str) else ""
