"""How an error of the library ends a call: the one table of gRPC statuses.

The status carries `google.rpc.ErrorInfo` (the class as its reason, the facts as its metadata),
`BadRequest` where a field is at fault, `QuotaFailure` where a quota is, and `RetryInfo` where
waiting helps (AIP-193). What nobody raised on purpose is a bug: the client is told so in one stable
sentence, the log gets the traceback.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any as Anything

import grpc
import structlog
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from rankspace import errors
from rankspace.v1.problem_pb2 import Problem
from rankspace.wire.problems import write_problem

DOMAIN = "rankspace"
BUG = "the server met a fault of its own; its log has the details"
CODES: dict[type[errors.RankspaceError], grpc.StatusCode] = {
    errors.RankspaceError: grpc.StatusCode.INTERNAL,
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownModality: grpc.StatusCode.INVALID_ARGUMENT,
    errors.MalformedMedia: grpc.StatusCode.INVALID_ARGUMENT,
    errors.DecodeFailed: grpc.StatusCode.INVALID_ARGUMENT,
    errors.LimitExceeded: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidConfig: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Expired: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.ContentConflict: grpc.StatusCode.ALREADY_EXISTS,
    errors.Refused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.OffsetGap: grpc.StatusCode.OUT_OF_RANGE,
    errors.StreamFinalized: grpc.StatusCode.FAILED_PRECONDITION,
    errors.WrongLayout: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Diverged: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Fenced: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Denied: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.NotBuilt: grpc.StatusCode.UNIMPLEMENTED,
    errors.Corrupt: grpc.StatusCode.DATA_LOSS,
    errors.Quarantined: grpc.StatusCode.DATA_LOSS,
    errors.Unreachable: grpc.StatusCode.UNAVAILABLE,
    errors.TimedOut: grpc.StatusCode.DEADLINE_EXCEEDED,
}

log = structlog.get_logger()


def problem(error: errors.RankspaceError) -> Problem:
    """The error inside a call that goes on."""
    return write_problem(error, CODES[type(error)].value[0])


def details(error: errors.RankspaceError) -> list[Message]:
    """What a program can act on."""
    found: list[Message] = [ErrorInfo(reason=error.reason(), domain=DOMAIN, metadata=error.facts)]
    if error.field and isinstance(error, errors.QuotaExceeded):
        hit = QuotaFailure.Violation(subject=error.field, description=error.message)
        found.append(QuotaFailure(violations=[hit]))
    elif error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        found.append(BadRequest(field_violations=[violation]))
    if error.retry_after_s:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        found.append(RetryInfo(retry_delay=delay))
    return found


def status(error: errors.RankspaceError) -> Status:
    """The status that a call ends with."""
    packed = []
    for detail in details(error):
        packed.append(Any())
        packed[-1].Pack(detail)
    return Status(code=CODES[type(error)].value[0], message=error.message, details=packed)


def trailing(error: errors.RankspaceError) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata that carry the details."""
    return tuple(rpc_status.to_status(status(error)).trailing_metadata)


@asynccontextmanager
async def reported(
    context: grpc.aio.ServicerContext[Anything, Anything],
) -> AsyncIterator[None]:
    """End the call with the status of whatever error comes out of the block."""
    try:
        yield
    except errors.RankspaceError as error:
        await _end(context, error)
    except grpc.aio.AbortError:  # the call was ended further in
        raise
    except Exception:  # the outermost boundary: no bug may reach a client as text
        log.exception("bug")
        await _end(context, errors.RankspaceError(BUG))


async def _end(
    context: grpc.aio.ServicerContext[Anything, Anything], error: errors.RankspaceError
) -> None:
    await context.abort(CODES[type(error)], error.message, trailing(error))
