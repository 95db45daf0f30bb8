"""Compare-and-append: dense, never twice, never other content; what goes in comes out."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.errors import (
    AlreadyExists,
    ContentConflict,
    Corrupt,
    Fenced,
    InvalidInput,
    NotFound,
    OffsetGap,
    StreamFinalized,
)
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Appended, Rejected
from rankspace.store.store import Store
from tests.store.kept import segments
from tests.strategies import samples


def text(number: int, size: int = 1) -> Sample:
    return Sample(f"id-{number}", (Part("text", b"%d" % number * size),))


def texts(*numbers: int) -> list[Sample]:
    return [text(number) for number in numbers]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, address: Callable[[], str]) -> Iterator[Store]:
    """One store for many drawn examples, each with streams of its own."""
    folder = tmp_path_factory.mktemp("shared")
    config = StoreConfig(folder=folder, url=address(), inline_bytes_max=16, page_rows=3)
    with Store.open(config) as opened:
        yield opened


def fresh(store: Store) -> str:
    """The name of a new stream."""
    return store.log.create(f"s{next(_numbers)}").name


_numbers = count()
REJECTED = Rejected("bad", "MALFORMED_MEDIA", "not an image")

batches = st.lists(
    st.lists(st.one_of(samples(), st.just(REJECTED)), min_size=1, max_size=5),
    min_size=1,
    max_size=6,
)


@given(batches, st.data())
@settings(max_examples=20)
def test_whatever_is_sent_again_the_stream_holds_each_sample_once_in_order(
    shared: Store, sent: list[list[Sample | Rejected]], data: st.DataObject
) -> None:
    whole = [sample for batch in sent for sample in batch]
    log, name = shared.log, fresh(shared)
    at = 0
    for batch in sent:
        log.append(name, at, batch)
        at += len(batch)
        start = data.draw(st.integers(0, at - 1))
        stop = data.draw(st.integers(start + 1, at))
        assert log.append(name, start, whole[start:stop]) == Appended(start, stop, True)
    assert [found for _, found in log.records(name)] == whole
    assert [offset for offset, _ in log.records(name)] == list(range(len(whole)))
    assert log.next_offset(name) == len(whole)


@given(st.lists(samples(), min_size=1, max_size=6), st.data())
def test_the_digest_of_a_stream_depends_on_its_content_not_on_its_batches(
    shared: Store, sent: list[Sample], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(sent)))
    log, one, two = shared.log, fresh(shared), fresh(shared)
    log.append(one, 0, sent)
    for part in filter(None, (sent[:cut], sent[cut:])):
        log.append(two, None, part)
    assert log.get(one).digest == log.get(two).digest


def test_a_batch_that_overlaps_the_end_is_appended_from_there_on(store: Store) -> None:
    store.log.create("s")
    store.log.append("s", 0, texts(0, 1, 2))
    assert store.log.append("s", 1, texts(1, 2, 3, 4)) == Appended(1, 5, duplicate=False)
    assert [sample for _, sample in store.log.read("s")] == texts(0, 1, 2, 3, 4)


def test_other_content_at_a_taken_offset_is_a_conflict_and_changes_nothing(store: Store) -> None:
    store.log.create("s")
    store.log.append("s", 0, texts(0, 1))
    with pytest.raises(ContentConflict, match="offset 1 "):
        store.log.append("s", 0, texts(0, 9, 2))
    assert store.log.next_offset("s") == 2


def test_a_gap_names_the_offset_that_is_expected(store: Store) -> None:
    store.log.create("s")
    store.log.append("s", 0, texts(0, 1))
    with pytest.raises(OffsetGap, match="expected 2"):
        store.log.append("s", 5, texts(5))


def test_no_offset_means_the_end(store: Store) -> None:
    store.log.create("s")
    assert store.log.append("s", None, texts(0)) == Appended(0, 1, duplicate=False)
    assert store.log.append("s", None, texts(0)) == Appended(1, 2, duplicate=False)


def test_an_empty_batch_and_an_offset_before_the_first_are_refused(store: Store) -> None:
    store.log.create("s")
    with pytest.raises(InvalidInput):
        store.log.append("s", 0, [])
    with pytest.raises(InvalidInput):
        store.log.append("s", -1, texts(0))


def test_a_finalized_stream_takes_retries_but_nothing_new(store: Store) -> None:
    store.log.create("s")
    store.log.append("s", 0, texts(0))
    assert store.log.finalize("s").finalized
    assert store.log.finalize("s").finalized
    assert store.log.append("s", 0, texts(0)).duplicate
    with pytest.raises(StreamFinalized):
        store.log.append("s", 1, texts(1))


def test_an_older_writer_is_fenced_and_a_plain_one_is_not(store: Store) -> None:
    store.log.create("s")
    assert store.log.claim("s") == 1
    store.log.append("s", 0, texts(0), epoch=1)
    store.log.append("s", 1, texts(1), epoch=3)
    with pytest.raises(Fenced, match="epoch 3"):
        store.log.append("s", 2, texts(2), epoch=2)
    with pytest.raises(Fenced):
        store.log.claim("s", 2)
    assert store.log.claim("s") == 4
    assert store.log.append("s", 2, texts(2)).next == 3
    assert store.log.get("s").epoch == 4


def test_rejections_fill_offsets_and_are_skipped_by_readers(store: Store) -> None:
    store.log.create("s")
    store.log.append("s", 0, [text(0), REJECTED, text(2)])
    assert list(store.log.read("s")) == [(0, text(0)), (2, text(2))]
    assert list(store.log.records("s", 1, 2)) == [(1, REJECTED)]
    stream = store.log.get("s")
    assert (stream.rejected, stream.bytes, stream.next_offset) == (1, 2, 3)


def test_reading_keeps_to_its_bounds(store: Store) -> None:
    store.log.create("s")
    store.log.append("s", 0, texts(*range(10)))
    assert [offset for offset, _ in store.log.read("s", 2, 7)] == [2, 3, 4, 5, 6]
    assert [offset for offset, _ in store.log.read("s", 2, limit=4)] == [2, 3, 4, 5]
    assert list(store.log.read("s", 10)) == []
    assert list(store.log.read("s", 0, 0)) == []


def test_a_reader_ends_where_the_stream_ended_when_it_began(store: Store) -> None:
    store.log.create("s")
    store.log.append("s", 0, texts(0, 1))
    reading = store.log.read("s")
    next(reading)
    store.log.append("s", 2, texts(2))
    assert [offset for offset, _ in reading] == [1]


def test_names_are_checked_and_unique(store: Store) -> None:
    store.log.create("a.b_c-1", {"k": "v"}, "for people")
    assert store.log.get("a.b_c-1").labels == {"k": "v"}
    with pytest.raises(AlreadyExists):
        store.log.create("a.b_c-1")
    for name in ("", "-a", "A", "a/b/c", "a" * 64, "a\n"):
        with pytest.raises(InvalidInput):
            store.log.create(name)
    for call in (store.log.get, store.log.finalize, store.log.delete, store.log.claim):
        with pytest.raises(NotFound):
            call("none")


def test_lists_come_in_pages(store: Store) -> None:
    for name in ("b", "a", "c"):
        store.log.create(name)
    first = store.log.list(size=2)
    assert [stream.name for stream in first.items] == ["a", "b"]
    last = store.log.list(size=2, token=first.next_token)
    assert [stream.name for stream in last.items] == ["c"]
    assert last.next_token == ""


def test_a_deleted_stream_is_gone_and_its_blobs_go_with_the_sweep(config: StoreConfig) -> None:
    at_once = config.model_copy(update={"orphan_age_s": 0.0})
    with Store.open(at_once) as store:
        for name in ("s", "t"):
            store.log.create(name)
        store.log.append("s", 0, [text(1, 100), text(2, 100)])
        store.log.append("t", 0, [text(2, 100)])
        reading = store.log.read("s")
        store.log.delete("s")
        with pytest.raises(NotFound):
            list(reading)
        with pytest.raises(NotFound):
            store.log.get("s")
        assert store.log.sweep() == 1
        assert [stream.name for stream in store.log.list().items] == ["t"]
        assert list(store.log.read("t")) == [(0, text(2, 100))]
        store.log.create("s")
        assert store.log.get("s").next_offset == 0


def test_a_reader_of_a_stream_that_is_deleted_meanwhile_is_told(store: Store) -> None:
    store.log.create("s")
    for first in range(0, 9, 3):
        store.log.append("s", first, texts(*range(first, first + 3)))
    reading = store.log.read("s")
    next(reading)
    store.log.delete("s")
    with pytest.raises(NotFound, match="deleted"):
        list(reading)


def test_changed_bytes_are_noticed(sqlite: StoreConfig) -> None:
    with Store.open(sqlite) as store:
        store.log.create("s")
        store.log.append("s", 0, [text(1)])
        store.log.append("s", 1, [text(2, 100)])
    with sqlite3.connect(sqlite.folder / "store.db") as database:
        database.execute("UPDATE runs SET payload = ? WHERE payload = ?", (b"9", b"1"))
    database.close()
    with Store.open(sqlite) as store:
        with pytest.raises(Corrupt, match="offset 0"):
            list(store.log.read("s"))
        (path,) = segments(sqlite.folder / "blobs")
        path.write_bytes(b"9" * 100)
        with pytest.raises(Corrupt):
            list(store.log.read("s", 1))


def test_writers_that_race_for_an_offset_never_overwrite_or_skip(store: Store) -> None:
    store.log.create("s")

    def write(writer: int) -> int:
        landed = 0
        while landed < 5:
            at = store.log.next_offset("s")
            try:
                store.log.append("s", at, [text(writer * 100 + landed)])
                landed += 1
            except ContentConflict:
                continue
        return landed

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, range(4))) == 20
    found = list(store.log.read("s"))
    assert [offset for offset, _ in found] == list(range(20))
    assert len({sample.sample_id for _, sample in found}) == 20
