"""Failures: every error of the library survives the way through a gRPC status."""

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.client.failures import DETAILS, failure
from rankspace.errors import (
    Denied,
    LimitExceeded,
    RankspaceError,
    Unreachable,
    tree,
)
from services.errors import CODES, status, trailing


def ended(
    code: grpc.StatusCode, details: str, metadata: tuple[tuple[str, str | bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, empty, grpc.aio.Metadata(*metadata), details)


@given(
    kind=st.sampled_from(list(tree())),
    message=st.text(min_size=1),
    field=st.text("abc.[0]"),
    retry_after_s=st.sampled_from([0.0, 0.5, 3.0]),
    facts=st.dictionaries(st.text(), st.text(), max_size=2),
)
def test_an_error_comes_back_as_what_was_raised(
    kind: type[RankspaceError],
    message: str,
    field: str,
    retry_after_s: float,
    facts: dict[str, str],
) -> None:
    error = kind(message, field, retry_after_s, facts)
    found = failure(ended(CODES[kind], message, trailing(error)))
    assert type(found) is kind
    assert (found.message, found.field, found.retry_after_s) == (message, field, retry_after_s)
    assert found.facts == facts


def test_an_error_of_a_newer_server_is_some_error() -> None:
    class Rewound(RankspaceError):
        """What this version does not know."""

    CODES[Rewound] = grpc.StatusCode.ABORTED
    try:
        sent = status(Rewound("the tape is back at its start"))
        del CODES[Rewound]
        metadata = ((DETAILS, sent.SerializeToString()),)
        found = failure(ended(grpc.StatusCode.ABORTED, "", metadata))
    finally:
        CODES.pop(Rewound, None)
    assert str(found) == "the tape is back at its start"


@pytest.mark.parametrize(
    ("code", "details", "kind", "said"),
    [
        (
            grpc.StatusCode.UNAVAILABLE,
            "failed to connect: ipv4:127.0.0.1:1: Connection refused",
            Unreachable,
            "connection refused",
        ),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", Unreachable, "deadline exceeded"),
        (grpc.StatusCode.UNKNOWN, "Stream removed", Unreachable, "stream removed"),
        (grpc.StatusCode.UNAUTHENTICATED, "", Denied, "unauthenticated"),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "Received message larger than max (5 vs. 4)",
            LimitExceeded,
            "Received message larger than max (5 vs. 4)",
        ),
        (grpc.StatusCode.INTERNAL, "", RankspaceError, "internal"),
    ],
)
def test_what_grpc_itself_ended_is_told_by_its_code(
    code: grpc.StatusCode, details: str, kind: type[RankspaceError], said: str
) -> None:
    found = failure(ended(code, details))
    assert type(found) is kind
    assert str(found) == said


def test_details_that_are_no_status_do_not_hide_the_error() -> None:
    metadata = ((DETAILS, b"\xff"),)
    assert type(failure(ended(grpc.StatusCode.NOT_FOUND, "gone", metadata))).__name__ == "NotFound"
