"""What the door sees of messages: that one came, and the name of what a call is about."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError, Message

from rankspace.errors import InvalidInput
from services.gateway.calls import OpenCall

Came: TypeAlias = tuple[Any, int]
"""A message, None if the bytes were none, and its bytes on the wire."""


class Heard:
    """The messages of a caller, each noted as it comes."""

    def __init__(self, messages: AsyncIterator[Any], call: OpenCall) -> None:
        self.bytes = 0
        """What the newest message weighed on the wire; a message itself finds out slowly."""

        self._messages = messages
        self._coming: AsyncIterator[Any] | None = None
        self._call = call

    def __aiter__(self) -> "Heard":
        return self

    async def __anext__(self) -> Any:
        if self._coming is None:  # not before: gRPC warns of messages that nobody came for
            self._coming = aiter(self._messages)
        message, self.bytes = right(await anext(self._coming))
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


def reading(read: Callable[[bytes], Any] | None) -> Callable[[bytes], Came]:
    """The same deserializer, but it tells the size too, and None for what it cannot read.

    gRPC would end the call itself, before any code of ours, and tell the caller what protobuf said.
    """

    def tried(data: bytes) -> Came:
        try:
            return (read(data) if read is not None else data), len(data)
        except DecodeError:
            return None, len(data)

    return tried


def right(came: Came) -> Came:
    """The same, if there is a message; else raises InvalidInput."""
    if came[0] is None:
        raise InvalidInput("these bytes are no message that this call takes")
    return came


def named(message: Any, path: str) -> str:
    """The text at a path such as "setup.stream"; "" where there is none."""
    found: Any = message
    for name in path.split("."):
        if not isinstance(found, Message) or name not in found.DESCRIPTOR.fields_by_name:
            return ""
        found = getattr(found, name)
    return found if isinstance(found, str) else ""
