"""Every error has one status and one reason, and crosses processes and the wire whole."""

import pickle

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import QuotaExceeded, RankspaceError, tree
from rankspace.wire.problems import read_problem
from services.errors import CODES, DOMAIN, problem, status

CLASSES = sorted(set(tree()), key=lambda kind: kind.__name__)
every_class = pytest.mark.parametrize("kind", CLASSES)
some_class = st.sampled_from(CLASSES)
texts = st.text(max_size=40)
delays = st.floats(0, 1e6)
facts = st.dictionaries(texts, texts, max_size=2)


def shown(error: RankspaceError) -> tuple[object, ...]:
    return type(error), error.message, error.field, error.retry_after_s, error.facts


def test_every_class_has_a_status() -> None:
    assert CODES.keys() == set(CLASSES)


def test_reasons_are_distinct_and_as_aip_193_wants_them() -> None:
    reasons = [kind.reason() for kind in CLASSES]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.isascii() and reason.isupper() and len(reason) <= 63 for reason in reasons)


@given(kind=some_class, message=texts, field=texts, delay=delays, facts=facts)
def test_errors_pickle(
    kind: type[RankspaceError], message: str, field: str, delay: float, facts: dict[str, str]
) -> None:
    error = kind(message, field, delay, facts)
    assert shown(pickle.loads(pickle.dumps(error))) == shown(error)  # noqa: S301 — our own bytes


@given(kind=some_class, message=texts, field=texts, delay=delays, facts=facts)
def test_a_problem_on_the_wire_is_the_error_again(
    kind: type[RankspaceError], message: str, field: str, delay: float, facts: dict[str, str]
) -> None:
    error = kind(message, field, delay, facts)
    assert shown(read_problem(problem(error))) == shown(error)


@every_class
def test_a_status_tells_a_program_what_to_do(kind: type[RankspaceError]) -> None:
    ended = status(kind("what is wrong", "batch.samples", 1.5))
    info, request, quota, retry = ErrorInfo(), BadRequest(), QuotaFailure(), RetryInfo()
    fault = quota if kind is QuotaExceeded else request
    for packed, detail in zip(ended.details, (info, fault, retry), strict=True):
        assert packed.Unpack(detail)
    assert (ended.code, ended.message) == (CODES[kind].value[0], "what is wrong")
    assert (info.reason, info.domain) == (kind.reason(), DOMAIN)
    at_fault = [item.subject for item in quota.violations]
    at_fault += [item.field for item in request.field_violations]
    assert at_fault == ["batch.samples"]
    assert retry.retry_delay.ToMilliseconds() == 1500


@every_class
def test_a_status_says_no_more_than_there_is(kind: type[RankspaceError]) -> None:
    assert len(status(kind("what is wrong")).details) == 1
