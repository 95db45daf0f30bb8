"""Samples that came together: however they are cut, and whatever goes, each is what it was."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from rankspace.errors import Corrupt
from rankspace.media.sample import Part, Sample
from rankspace.store import records, runs
from rankspace.store.content import media_bytes
from rankspace.store.drafts import Draft
from rankspace.store.entries import Rejected, Retention
from rankspace.store.schema import runs as table
from rankspace.store.schema import tombstones
from rankspace.store.store import Store
from tests.strategies import samples

HEAD: Any = ("s", 0, 0, "synced")


def text(number: int, size: int = 1) -> Sample:
    """A sample with so many bytes."""
    return Sample(f"id-{number}", (Part("text", b"%d" % (number % 10) * size),))


def drafted(entries: list[Sample | Rejected], inline_bytes_max: int = 1 << 16) -> list[runs.Entry]:
    return list(Draft(entries, inline_bytes_max, HEAD).batch().entries)


@given(st.lists(samples(), min_size=1, max_size=6), st.integers(0, 6), st.integers(0, 40))
def test_what_is_left_of_entries_is_what_the_rest_is_laid_out_as(
    drawn: list[Sample], count: int, inline_bytes_max: int
) -> None:
    entries = list(Draft(drawn, inline_bytes_max, HEAD).batch().entries)
    left = runs.behind(entries, count)
    rest = drafted([*drawn[count:]]) if drawn[count:] else []
    assert b"".join(one.hashes for one in left) == b"".join(one.hashes for one in rest)
    assert sum(one.size for one in left) == sum(map(media_bytes, drawn[count:]))
    assert sum(one.offsets for one in left) == len(drawn[count:])


def test_runs_are_short_and_end_where_a_sample_is_refused() -> None:
    refused = Rejected("bad", "MALFORMED_MEDIA", "no")
    many = drafted([text(number) for number in range(600)])
    assert [one.offsets for one in many] == [256, 256, 88]
    mixed = drafted([text(0), text(1), refused, text(2)])
    assert [(type(one).__name__, one.offsets) for one in mixed] == [
        ("Run", 2), ("Tombstone", 1), ("Run", 1),
    ]  # fmt: skip


def test_a_retry_that_is_cut_anew_adds_the_rest_and_all_is_read_back(store: Store) -> None:
    sent = [text(number, 1 + number % 40) for number in range(700)]
    store.log.create("s")
    store.log.append("s", 0, sent[:3])
    store.log.append("s", 2, sent[2:300])
    assert store.log.append("s", 1, sent[1:300]).duplicate
    store.log.append("s", 290, sent[290:])
    assert [sample for _, sample in store.log.read("s")] == sent
    assert [sample for _, sample in store.log.read("s", 255, 600)] == sent[255:600]
    assert list(store.integrity.check()) == []
    with store._database.read() as connection:
        found = records.hashes(connection, 1, 100, 499)
    assert [offset for offset, _ in found] == [*range(100, 500)]
    assert b"".join(each for _, each in found) == b"".join(
        one.hashes for one in drafted([*sent[100:500]])
    )


def test_a_run_goes_with_the_last_of_its_samples(store: Store) -> None:
    store.log.create("s", retention=Retention(bytes=5))
    store.log.append("s", 0, [text(number) for number in range(4)])
    store.log.append("s", 4, [text(number) for number in range(4, 8)])
    digest = store.log.get("s").digest

    def kept() -> int:
        with store._database.read() as connection:
            return connection.scalar(select(func.count()).select_from(table)) or 0

    assert store.log.expire() == 3
    assert kept() == 2
    store.log.append("s", 8, [text(8)])
    assert store.log.expire() == 1
    assert kept() == 2
    assert [offset for offset, _ in store.log.read("s")] == [4, 5, 6, 7, 8]
    assert store.log.append("s", 0, [text(number) for number in range(8)]).duplicate
    assert list(store.integrity.check()) == []
    assert digest != store.log.get("s").digest


def test_a_tombstone_that_has_moved_is_noticed_at_both_places(store: Store) -> None:
    store.log.create("s", retention=Retention(bytes=3))
    store.log.append("s", 0, [text(number) for number in range(5)])
    assert store.log.expire() == 2
    with store._database.write() as connection:
        moved = tombstones.update().where(tombstones.c.offset == 1)
        connection.execute(moved.values(offset=3))
    assert [damage.offset for damage in store.integrity.check() if damage.offset >= 0] == [1, 3]
    with pytest.raises(Corrupt, match="offset 1"):
        list(store.log.records("s"))
    store.integrity.set_aside("s", [1, 3])
    assert list(store.integrity.check()) == []
    assert [offset for offset, _ in store.log.read("s")] == [2, 4]
    assert store.log.get("s").kept_bytes == 2


def test_one_that_is_set_aside_harms_no_other_of_its_run(store: Store) -> None:
    store.log.create("s")
    store.log.append("s", 0, [text(number) for number in range(5)])
    with store._database.write() as connection:
        payload = connection.scalar(select(table.c.payload)) or b""
        connection.execute(table.update().values(payload=payload[:2] + b"x" + payload[3:]))
    assert [damage.offset for damage in store.integrity.check()] == [2]
    store.integrity.set_aside("s", [2])
    assert [offset for offset, _ in store.log.read("s")] == [0, 1, 3, 4]
    assert list(store.integrity.check()) == []
