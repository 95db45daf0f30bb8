"""Refused samples that are kept: once each, within bounds, gone with their stream."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from rankspace.errors import Corrupt, NotFound
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Refusal
from rankspace.store.integrity import Damage
from rankspace.store.store import Store


def reject(offset: int, size: int = 3) -> Refusal:
    return Refusal(offset, f"n{offset}", "MALFORMED_MEDIA", "no", "parts[0]", raw=b"x" * size)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 40), max_size=12), cut=st.integers(0, 12), page=st.integers(1, 5)
)
def test_the_newest_are_kept_within_the_bytes_allowed(
    config: StoreConfig, sizes: list[int], cut: int, page: int
) -> None:
    """The model: drop from the oldest end while the rest weighs too much."""
    name = f"s{abs(hash((tuple(sizes), cut, page)))}"
    with Store.open(config.model_copy(update={"rejects_bytes_max": 100})) as store:
        store.log.create(name)
        all_ = [reject(offset, size) for offset, size in enumerate(sizes)]
        for part in (all_[:cut], all_[cut:], all_[cut:][-1:]):
            store.rejects.keep(name, part)
        expected = list(all_)
        while sum(len(one.raw) for one in expected) > 100:
            del expected[0]
        found: list[Refusal] = []
        token = ""
        while not found or token:
            listed = store.rejects.list(name, page, token)
            found += listed.items
            token = listed.next_token
            if not listed.items:
                break
        assert [(one.offset, one.size, one.raw) for one in found] == [
            (one.offset, len(one.raw), b"") for one in expected
        ]
        for one in expected:
            assert store.rejects.get(name, one.offset).raw == one.raw
        store.log.delete(name)


def test_one_is_kept_as_it_first_was_until_it_is_dropped(store: Store) -> None:
    store.log.create("s")
    store.rejects.keep("s", [reject(4)])
    store.rejects.keep("s", [reject(4, 9), reject(6)])
    first = store.rejects.get("s", 4)
    assert (first.sample_id, first.reason, first.message, first.field, first.raw) == (
        "n4", "MALFORMED_MEDIA", "no", "parts[0]", b"xxx",
    )  # fmt: skip
    assert first.created_us > 0
    store.rejects.drop("s", 4)
    with pytest.raises(NotFound, match="no refused sample is kept at offset 4"):
        store.rejects.get("s", 4)
    assert [one.offset for one in store.rejects.list("s").items] == [6]


def test_the_old_ones_go(config: StoreConfig) -> None:
    with Store.open(config.model_copy(update={"rejects_age_s": 1e-6})) as store:
        store.log.create("s")
        store.rejects.keep("s", [reject(0), reject(1)])
        assert store.rejects.collect() == 2
        assert store.rejects.collect() == 0
        assert store.rejects.list("s").items == ()


def test_a_deleted_stream_keeps_none(store: Store) -> None:
    store.log.create("s")
    store.rejects.keep("s", [reject(0)])
    store.log.delete("s")
    store.log.create("s")
    assert store.rejects.list("s").items == ()


def changed(store: Store, offset: int, what: str) -> None:
    """Change what is kept behind the back of the store."""
    with store._database.write() as connection:
        connection.execute(text(f'UPDATE rejects SET {what} WHERE "offset" = {offset}'))  # noqa: S608


ROTTEN = (
    "sample_id = 'n5'", "reason = 'CORRUPT'", "message = ''", "field = 'parts[1]'", "size = 4",
    "created_us = created_us + 1", "hash = raw_hash", "raw_hash = hash",
)  # fmt: skip
NO_TEXT = ("sample_id = CAST(x'ff' AS TEXT)", "created_us = 'now'", "hash = 'x'", "raw_hash = 1")


def found_rotten(store: Store) -> None:
    """Of three kept samples the one in the middle is told to be damaged, and no other."""
    said = "the refused sample kept at offset 1 of stream s is not what was kept"
    with pytest.raises(Corrupt, match=said):
        store.rejects.get("s", 1)
    assert [store.rejects.get("s", offset).raw for offset in (0, 2)] == [b"xxx", b"xxx"]
    assert list(store.integrity.check()) == [Damage("s", 1, said)]


@pytest.mark.parametrize("what", ROTTEN)
def test_what_is_not_what_was_kept_is_told_in_lists_too(store: Store, what: str) -> None:
    store.log.create("s")
    store.rejects.keep("s", [reject(offset) for offset in range(3)])
    assert list(store.integrity.check()) == []
    changed(store, 1, what)
    found_rotten(store)
    listed = store.rejects.list("s").items
    assert [(one.offset, one.reason) for one in listed] == [
        (0, "MALFORMED_MEDIA"), (1, "CORRUPT"), (2, "MALFORMED_MEDIA"),
    ]  # fmt: skip


@pytest.mark.parametrize("what", NO_TEXT)
def test_what_is_no_text_and_no_number_any_more_is_told(sqlite: StoreConfig, what: str) -> None:
    with Store.open(sqlite) as store:
        store.log.create("s")
        store.rejects.keep("s", [reject(offset) for offset in range(3)])
        changed(store, 1, what)
        found_rotten(store)
        assert [one.reason for one in store.rejects.list("s", 2).items] == [
            "MALFORMED_MEDIA", "CORRUPT",
        ]  # fmt: skip
        changed(store, 1, "\"offset\" = 'x'")
        with pytest.raises(Corrupt, match="lost their order"):
            store.rejects.list("s")
        assert [damage.offset for damage in store.integrity.check()] == [-1]


def test_bytes_of_a_sample_that_have_changed_are_told_where_they_are_read(store: Store) -> None:
    store.log.create("s")
    store.rejects.keep("s", [reject(offset) for offset in range(3)])
    changed(store, 1, "raw = hash")
    found_rotten(store)
    assert {one.reason for one in store.rejects.list("s").items} == {"MALFORMED_MEDIA"}


def test_one_that_comes_to_another_stream_is_not_taken_for_its_own(store: Store) -> None:
    store.log.create("s")
    store.log.create("t")
    store.rejects.keep("s", [reject(0)])
    changed(store, 0, "stream_id = stream_id + 1")
    with pytest.raises(Corrupt):
        store.rejects.get("t", 0)
