"""What went wrong on the other side, as the same class of `rankspace.errors` that was raised there.

A status carries `google.rpc.ErrorInfo` with the class's reason (AIP-193). Where it does not, gRPC
itself or something between made it, and the code alone decides.
"""

from collections.abc import Iterable
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from rankspace.errors import (
    AlreadyExists,
    Denied,
    Forbidden,
    InvalidInput,
    LimitExceeded,
    NotBuilt,
    NotFound,
    Overloaded,
    RankspaceError,
    Refused,
    Unreachable,
)
from rankspace.wire.problems import BY_REASON

Detail = TypeVar("Detail", bound=Message)

DOMAIN = "rankspace"
DETAILS = "grpc-status-details-bin"
BY_CODE: dict[grpc.StatusCode, type[RankspaceError]] = {
    grpc.StatusCode.UNAVAILABLE: Unreachable,
    grpc.StatusCode.CANCELLED: Unreachable,  # not by us: the server went away midway
    grpc.StatusCode.DEADLINE_EXCEEDED: Unreachable,
    grpc.StatusCode.UNAUTHENTICATED: Denied,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitExceeded,  # gRPC's own: a message too large
    grpc.StatusCode.UNIMPLEMENTED: NotBuilt,
}
CROWDED = "Concurrent RPC limit exceeded"
"""How gRPC words what it refuses before the server sees it."""

SEVERED = ("Received RST_STREAM", "Stream removed", "Connection reset", "Internal error from Core")
"""How gRPC words a connection that broke where the code says UNKNOWN or INTERNAL. The last: a write
to a call that the server had ended, before all that it sent was read."""


def failure(error: grpc.aio.AioRpcError) -> RankspaceError:
    """The error that a call ended with."""
    status = _status(error)
    info = _detail(status.details, ErrorInfo)
    if info is None or info.domain != DOMAIN:
        return _by_code(error)
    retry = _detail(status.details, RetryInfo)
    return BY_REASON.get(info.reason, RankspaceError)(
        status.message,
        _field(status),
        retry.retry_delay.ToNanoseconds() / 1e9 if retry else 0.0,
        dict(info.metadata),
    )


def _field(status: Status) -> str:
    """What is at fault: a field of the request, or whose quota is used up."""
    request = _detail(status.details, BadRequest)
    if request and request.field_violations:
        return request.field_violations[0].field
    quota = _detail(status.details, QuotaFailure)
    return quota.violations[0].subject if quota and quota.violations else ""


def _by_code(error: grpc.aio.AioRpcError) -> RankspaceError:
    code, details = error.code(), error.details() or ""
    kind = BY_CODE.get(code, RankspaceError)
    if details.startswith(CROWDED):
        return Overloaded("the server has more calls than it can look at", retry_after_s=1.0)
    if details.startswith(SEVERED):
        kind = Unreachable
    said = details.splitlines()[0] if details else code.name.lower().replace("_", " ")
    if kind is Unreachable:
        said = said.rpartition(": ")[2].lower()  # gRPC tells every step down to the socket's
    return kind(said)


def _status(error: grpc.aio.AioRpcError) -> Status:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS:
            try:
                return Status.FromString(value if isinstance(value, bytes) else value.encode())
            except DecodeError:
                break
    return Status()


def _detail(details: Iterable[Message], kind: type[Detail]) -> Detail | None:
    for packed in details:
        found = kind()
        if packed.Unpack(found):  # type: ignore[attr-defined]  # google.protobuf.Any
            return found
    return None
