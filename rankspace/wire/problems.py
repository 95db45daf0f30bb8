"""Errors inside a call that goes on."""

from rankspace.errors import RankspaceError, tree
from rankspace.v1 import problem_pb2 as pb

BY_REASON = {kind.reason(): kind for kind in tree()}
"""Every class of the library's errors by its reason on the wire."""


def write_problem(error: RankspaceError, code: int) -> pb.Problem:
    """An error on the wire; `code` is the gRPC status it would end a call with."""
    return pb.Problem(
        code=code,
        reason=error.reason(),
        message=error.message,
        field=error.field,
        retry_after_s=error.retry_after_s,
        metadata=error.facts,
    )


def read_problem(message: pb.Problem) -> RankspaceError:
    """The error again; a reason from a newer server becomes the base class."""
    kind = BY_REASON.get(message.reason, RankspaceError)
    return kind(message.message, message.field, message.retry_after_s, dict(message.metadata))
