"""Growing media: however they are cut, mixed, repeated and interrupted, the whole is what was sent.

Each law runs against a model: a dictionary of bytearrays.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankspace.errors import (
    ContentConflict,
    Corrupt,
    Fenced,
    InvalidInput,
    LimitExceeded,
    NotFound,
    OffsetGap,
    Overloaded,
    RankspaceError,
    Refused,
    StreamFinalized,
)
from rankspace.media.sample import Part
from rankspace.store.config import StoreConfig
from rankspace.store.growing import Abandon, Begin, Chunk, End, Grown, Head, Medium, Step
from rankspace.store.store import Store
from tests.strategies import cuttings

NAMES = count()
HEAD = Head("audio", "pcm_s16le", "speech", 16_000, 1, 1_700_000_000_000_000)


@pytest.fixture
def stream(store: Store) -> str:
    return store.log.create(f"s{next(NAMES)}").name


def sent(media_id: str, data: bytes, pieces: list[slice]) -> Iterator[Step]:
    """A medium as a client sends it."""
    yield Begin(media_id, HEAD)
    for piece in pieces:
        if data[piece]:
            yield Chunk(media_id, piece.start, data[piece])
    yield End(media_id, len(data), hashlib.sha256(data).digest())


def grow(store: Store, stream: str, *steps: Step) -> list[Grown]:
    """Steps none of which is refused."""
    answers = store.pieces.grow(stream, steps)
    assert all(isinstance(answer, Grown) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Grown)]


def refused(store: Store, stream: str, step: Step) -> RankspaceError:
    """A step that is refused."""
    (answer,) = store.pieces.grow(stream, [step])
    assert isinstance(answer, RankspaceError)
    return answer


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_cut_mixed_and_sent_again_the_media_are_whole(
    store: Store, data: st.DataObject
) -> None:
    """Up to three media, their steps interleaved at random; any step may come again, later on."""
    stream = store.log.create(f"s{next(NAMES)}").name
    contents = data.draw(st.lists(st.binary(max_size=40), min_size=1, max_size=3))
    queues = [
        list(sent(f"m{at}", whole, data.draw(cuttings(len(whole)))))
        for at, whole in enumerate(contents)
    ]
    past: list[Step] = []
    some: st.SearchStrategy[bool] = st.booleans()
    while any(queues):
        again = bool(past) and data.draw(some)
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        run = [data.draw(st.sampled_from(past))] if again else queue[: data.draw(st.integers(1, 3))]
        answers = grow(store, stream, *run)
        if again:
            assert [answer.duplicate for answer in answers] == [True]
        else:
            past += run
            del queue[: len(run)]
    ids = [f"m{at}" for at in range(len(contents))]
    assert {grown.media_id: grown.position for grown in store.pieces.open(stream)} == {
        name: len(whole) for name, whole in zip(ids, contents, strict=True)
    }
    assert store.pieces.whole(stream, ids, 1000) == {
        name: Medium(Part("audio", whole, "pcm_s16le", "speech", 16_000, 1), HEAD.event_time_us)
        for name, whole in zip(ids, contents, strict=True)
    }


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    whole=st.binary(min_size=1, max_size=30),
    chunks=st.lists(st.tuples(st.integers(0, 32), st.integers(1, 12)), max_size=12),
)
def test_a_chunk_is_taken_if_it_leaves_no_gap(
    store: Store, whole: bytes, chunks: list[tuple[int, int]]
) -> None:
    stream = store.log.create(f"s{next(NAMES)}").name
    grow(store, stream, Begin("m", HEAD))
    position = 0
    for start, size in chunks:
        piece = whole[start : start + size]
        if not piece:
            continue
        (answer,) = store.pieces.grow(stream, [Chunk("m", start, piece)])
        if start > position:
            assert isinstance(answer, OffsetGap)
            assert answer.facts == {"expected_position": str(position)}
        else:
            duplicate = start + len(piece) <= position
            position = max(position, start + len(piece))
            assert answer == Grown("m", position, duplicate=duplicate)
    grow(store, stream, End("m", position))
    assert store.pieces.whole(stream, ["m"], 100)["m"].part.data == whole[:position]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), whole=st.binary(min_size=1, max_size=30), at=st.integers(0, 29))
def test_other_bytes_where_there_are_bytes_are_refused(
    store: Store, data: st.DataObject, whole: bytes, at: int
) -> None:
    stream = store.log.create(f"s{next(NAMES)}").name
    steps = list(sent("m", whole, data.draw(cuttings(len(whole)))))
    grow(store, stream, *steps)
    at %= len(whole)
    other = bytearray(whole)
    other[at] ^= 1
    start = data.draw(st.integers(0, at))
    stop = data.draw(st.integers(at + 1, len(whole)))
    wrong = Chunk("m", start, bytes(other[start:stop]))
    assert isinstance(refused(store, stream, wrong), ContentConflict)
    assert grow(store, stream, Chunk("m", start, whole[start:stop]))[0].duplicate


def test_what_is_wrong_with_a_step_is_said_and_harms_no_other(store: Store, stream: str) -> None:
    assert isinstance(refused(store, stream, Chunk("m", 0, b"x")), NotFound)
    answers = store.pieces.grow(
        stream,
        [
            Begin("m", HEAD),
            Chunk("m", 5, b"later"),
            Chunk("m", 0, b"now"),
            Begin("m", replace(HEAD, role="music")),
            End("m", 4),
            End("m", 2),
            End("m", 3, bytes(32)),
            End("m", 3),
            Chunk("m", 3, b"more"),
            Abandon("other"),
        ],
    )
    assert [type(answer) for answer in answers] == [
        Grown, OffsetGap, Grown, ContentConflict, OffsetGap, InvalidInput, InvalidInput, Grown,
        Refused, Grown,
    ]  # fmt: skip
    assert answers[7] == Grown("m", 3, ended=True)


def test_a_medium_that_has_not_ended_or_is_too_large_is_not_given(
    store: Store, stream: str
) -> None:
    grow(store, stream, Begin("m", HEAD), Chunk("m", 0, b"abc"))
    with pytest.raises(Refused, match="end it first"):
        store.pieces.whole(stream, ["m"], 100)
    with pytest.raises(NotFound):
        store.pieces.whole(stream, ["other"], 100)
    grow(store, stream, End("m", 3))
    with pytest.raises(LimitExceeded):
        store.pieces.whole(stream, ["m"], 2)


def test_pieces_survive_a_restart(config: StoreConfig) -> None:
    with Store.open(config) as store:
        store.log.create("s")
        grow(store, "s", Begin("m", HEAD), Chunk("m", 0, b"abc"))
    with Store.open(config) as store:
        assert store.pieces.open("s") == (Grown("m", 3),)
        grow(store, "s", Chunk("m", 3, b"def"), End("m", 6))
        assert store.pieces.whole("s", ["m"], 100)["m"].part.data == b"abcdef"


def test_a_stream_holds_a_bounded_number_of_growing_media(config: StoreConfig) -> None:
    with Store.open(config.model_copy(update={"growing_media_max": 2})) as store:
        store.log.create("s")
        grow(store, "s", Begin("a", HEAD), Begin("b", HEAD))
        assert isinstance(refused(store, "s", Begin("c", HEAD)), Overloaded)
        assert grow(store, "s", Begin("a", HEAD))[0].duplicate
        grow(store, "s", Abandon("a"), Begin("c", HEAD))


def test_what_nobody_ended_expires_and_what_was_taken_goes_sooner(config: StoreConfig) -> None:
    with Store.open(config.model_copy(update={"growing_taken_s": 0.0})) as store:
        store.log.create("s")
        grow(store, "s", *sent("taken", b"abc", [slice(0, 3)]), Begin("open", HEAD))
        store.pieces.take("s", ["taken"])
        assert [grown.media_id for grown in store.pieces.open("s")] == ["open"]
        assert store.pieces.collect() == 1
        assert isinstance(refused(store, "s", Chunk("taken", 0, b"abc")), NotFound)
    with Store.open(config.model_copy(update={"growing_age_s": 1e-6})) as store:
        assert store.pieces.collect() == 1
        assert store.pieces.open("s") == ()


def test_an_older_writer_is_fenced_and_a_finalized_stream_begins_nothing(
    store: Store, stream: str
) -> None:
    store.log.claim(stream, 3)
    with pytest.raises(Fenced):
        store.pieces.grow(stream, [Begin("m", HEAD)], epoch=2)
    store.pieces.grow(stream, [Begin("m", HEAD)], epoch=4)
    assert store.log.get(stream).epoch == 4
    store.log.finalize(stream)
    assert isinstance(refused(store, stream, Begin("n", HEAD)), StreamFinalized)


def test_changed_bytes_are_noticed(config: StoreConfig) -> None:
    from sqlalchemy import update

    from rankspace.store.schema import pieces

    with Store.open(config) as store:
        store.log.create("s")
        grow(store, "s", *sent("m", b"abcdef", [slice(0, 3), slice(3, 6)]))
        with store._database.write() as connection:
            connection.execute(update(pieces).where(pieces.c.position == 3).values(data=b"dEf"))
        with pytest.raises(Corrupt):
            store.pieces.whole("s", ["m"], 100)
