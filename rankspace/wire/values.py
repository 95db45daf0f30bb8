"""Small values of several messages: enums, times, free-form settings."""

from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from rankspace.errors import InvalidInput

_NONE = "UNSPECIFIED"


def read_enum(kind: EnumDescriptor, value: int, field: str) -> str:
    """The library's word for a value: lower case, without the prefix; "" if unspecified."""
    found = kind.values_by_number.get(value)
    if found is None:
        known = ", ".join(other.name for other in kind.values[1:])
        raise InvalidInput(f"{field} is {value}, which names nothing; take one of {known}", field)
    return found.name.removeprefix(_prefix(kind)).lower() if value else ""


def write_enum(kind: EnumDescriptor, word: str, field: str) -> Any:
    """The value of a library word; 0 of ""."""
    found = kind.values_by_name.get(_prefix(kind) + (word.upper() or _NONE))
    if found is None:
        raise InvalidInput(f"{field} cannot be {word!r} on the wire", field)
    return found.number


def given(message: Message, names: Collection[str]) -> dict[str, Any]:
    """Those of these fields that the message sets; they must have presence."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def read_time(message: Timestamp) -> int:
    """Microseconds since the Unix epoch."""
    return message.seconds * 1_000_000 + message.nanos // 1000


def write_time(time_us: int) -> Timestamp:
    """The moment so many microseconds after the Unix epoch."""
    seconds, micros = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def read_struct(message: Struct, field: str) -> dict[str, Any]:
    """Plain values as JSON has them; whole numbers are ints."""
    try:
        return {name: _whole(value) for name, value in MessageToDict(message).items()}
    except ValueError as error:
        raise InvalidInput(f"{field} holds a number that JSON cannot write", field) from error


def write_struct(values: Mapping[str, Any], field: str) -> Struct:
    """Plain values as a message."""
    try:
        return ParseDict(dict(values), Struct())
    except ParseError as error:
        raise InvalidInput(f"{field} holds what JSON cannot write", field) from error


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return value


def _prefix(kind: EnumDescriptor) -> str:
    return kind.values_by_number[0].name.removesuffix(_NONE)
