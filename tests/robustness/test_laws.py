"""The laws of growing media, of what is kept, of written appends: right histories and wrong ones.

Each wrong history is the right one with one operation changed, as a server would break that law.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.robustness.checker import EVERYTHING, violations
from tests.robustness.contents import chained, key_of, size_of, twin_name
from tests.robustness.history import Operation

Change = Callable[[Operation], Operation]


def operation(kind: Any, at: int, **values: Any) -> Operation:
    """An operation from ten times `at` to nine later."""
    said = {"client": "c", "stream": "live", **values}
    return Operation(kind=kind, invoked=10 * at, returned=10 * at + 9, **said)


def ended(history: Sequence[Operation], stream: str, names: Sequence[str]) -> list[Operation]:
    """With the last look and read of a stream, by whoever looks last."""
    keys = tuple(map(key_of, names))
    end = {"stream": stream, "next": len(keys), "client": "last"}
    look = operation("look", 1000, digest=chained(keys), **end)
    return [*history, look, operation("read", 1001, offset=0, keys=keys, whole=True, **end)]


def changed(history: Sequence[Operation], at: int, **values: Any) -> list[Operation]:
    """The same with one operation changed."""
    return [*history[:at], replace(history[at], **values), *history[at + 1 :]]


SOUND = "live.0.a"
SIZE = size_of(SOUND)
M = {"media": (SOUND,)}
GROWN = ended(
    [
        operation("piece", 1, step="begin", told=(0,), **M),
        operation("piece", 2, step="chunk", position=0, size=9, told=(9,), **M),
        operation("piece", 3, step="chunk", position=0, size=9, told=(9,), duplicate=True, **M),
        operation("media", 4, told=(9,), **M),
        operation("piece", 5, step="other", position=0, size=9, outcome="refused",
                  reason="CONTENT_CONFLICT", **M),
        operation("piece", 6, step="chunk", position=5, size=SIZE - 5, told=(SIZE,), **M),
        operation("append", 7, offset=0, keys=(key_of(SOUND),), outcome="refused",
                  reason="REFUSED", next=0, **M),
        operation("piece", 8, step="end", told=(SIZE,), **M),
        operation("append", 9, offset=0, keys=(key_of(SOUND),), first=0, next=1, **M),
    ],
    "live",
    [SOUND],
)  # fmt: skip
WRONG_GROWN: dict[str, tuple[int, dict[str, Any]]] = {
    "a chunk counts twice": (2, {"told": (18,), "duplicate": False}),
    "a chunk is lost": (3, {"told": (0,)}),
    "a medium is forgotten": (3, {"told": (), "media": ()}),
    "bytes that nobody sent": (3, {"told": (40,)}),
    "other bytes are taken": (4, {"outcome": "ok", "reason": "", "told": (9,)}),
    "a medium is not known": (5, {"outcome": "refused", "reason": "NOT_FOUND", "told": ()}),
    "a part is taken": (6, {"outcome": "ok", "reason": "", "first": 0, "next": 1}),
}

REFUSED = "kept.1.x"
KEPT_NAMES = ["kept.0.t", REFUSED]
K = {"stream": "kept"}
KEPT = ended(
    [
        operation("append", 1, offset=0, keys=tuple(map(key_of, KEPT_NAMES)), first=0, next=2,
                  refused=(1,), **K),
        operation("rejects", 2, refused=(1,), **K),
        operation("rejects", 3, offset=1, keys=(key_of(REFUSED),), **K),
        operation("retry", 5, offset=1, client="retrier", outcome="refused", reason="INVALID_INPUT",
                  **K),
        operation("rejects", 6, refused=(1,), **K),
    ],
    "kept",
    KEPT_NAMES,
)  # fmt: skip
WRONG_KEPT: dict[str, tuple[int, dict[str, Any]]] = {
    "a refused sample is not listed": (1, {"refused": ()}),
    "it is gone after a try that failed": (4, {"refused": ()}),
    "it is not as it was sent": (2, {"keys": ("other",)}),
    "it is not there": (2, {"outcome": "refused", "reason": "NOT_FOUND", "keys": ()}),
    "one is listed that nobody sent": (1, {"refused": (1, 7)}),
}

NAMES = [twin_name("bounded", at) for at in range(60)]
SIZES = [size_of(name) for name in NAMES]
FIRST = next(at for at in range(60) if sum(SIZES[at:]) <= 20_000)
BOUNDED = ended(
    [
        operation("append", 1, stream="bounded", offset=0, keys=tuple(map(key_of, NAMES)), first=0,
                  next=60),
        operation("look", 2, stream="bounded", next=60, first_kept=0, kept_bytes=sum(SIZES)),
        operation("look", 3, stream="bounded", next=60, first_kept=FIRST,
                  kept_bytes=sum(SIZES[FIRST:])),
        operation("read", 4, stream="bounded", offset=0, keys=tuple(map(key_of, NAMES[:3])),
                  next=3, expired=(0, 1, 2)),
        operation("look", 999, stream="bounded", next=60, first_kept=FIRST, client="last",
                  kept_bytes=sum(SIZES[FIRST:])),
    ],
    "bounded",
    NAMES,
)  # fmt: skip
BOUNDED[-1] = replace(BOUNDED[-1], expired=tuple(range(FIRST)))
BEYOND = next(at for at in range(FIRST, 60) if SIZES[at]) + 1
WRONG_BOUNDED: dict[str, tuple[int, dict[str, Any]]] = {
    "one too many expires": (4, {"first_kept": BEYOND, "kept_bytes": sum(SIZES[BEYOND:])}),
    "too much is kept": (4, {"first_kept": FIRST - 1, "kept_bytes": sum(SIZES[FIRST - 1 :])}),
    "what has expired comes back": (3, {"expired": ()}),
    "bytes are counted wrong": (1, {"kept_bytes": 1}),
}

LOOSE = [twin_name("loose", at) for at in range(4)]
L: dict[str, Any] = {"stream": "loose"}


def loose(at: int, place: int, durability: str) -> Operation:
    keys = (key_of(LOOSE[place]),)
    said = {"offset": place, "first": place, "next": place + 1, "durability": durability}
    return operation("append", at, keys=keys, **said, **L)


WRITTEN = ended(
    [
        loose(1, 0, "synced"),
        loose(2, 1, "written"),
        loose(3, 2, "synced"),
        loose(4, 3, "written"),
        operation("look", 5, next=4, **L),
        operation("power", 6, stream=EVERYTHING),
        operation("look", 7, next=3, digest=chained(map(key_of, LOOSE[:3])), **L),
    ],
    "loose",
    LOOSE[:3],
)
WRONG_WRITTEN: dict[str, tuple[int, dict[str, Any]]] = {
    "what was written is lost without a cut": (5, {"stream": "other", "kind": "media"}),
    "what was synced is lost": (3, {"durability": "synced"}),
    "what was written before a sync is lost": (6, {"next": 1}),
    "the digest is another": (6, {"digest": "00" * 32}),
    "other content is read": (8, {"keys": (key_of(LOOSE[1]),)}),
}


@pytest.mark.parametrize(
    "history", [GROWN, KEPT, BOUNDED, WRITTEN], ids=["grown", "kept", "bounded", "written"]
)
def test_a_right_history_keeps_the_laws(history: list[Operation]) -> None:
    assert violations(history) == []


WRONG = [
    pytest.param(changed(history, at, **values), id=name)
    for history, wrong in (
        (GROWN, WRONG_GROWN), (KEPT, WRONG_KEPT), (BOUNDED, WRONG_BOUNDED), (WRITTEN, WRONG_WRITTEN)
    )
    for name, (at, values) in wrong.items()
]  # fmt: skip


@pytest.mark.parametrize("history", WRONG)
def test_a_wrong_history_breaks_one(history: list[Operation]) -> None:
    assert [found for found in violations(history) if "the end could not" not in found]


def test_a_batch_to_a_stream_that_was_deleted_may_come_late_and_none_that_was_refused() -> None:
    late = operation("append", 1, stream="r#0", offset=0, keys=(key_of("a.t"),), outcome="unknown")
    first = ended([late], "r#0", [])
    assert violations(ended(first, "r#1", ["a.t"])) == []
    refused = [replace(late, outcome="refused", reason="FENCED"), *first[1:]]
    assert violations(ended(refused, "r#1", ["a.t"]))
