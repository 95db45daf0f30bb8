"""Refused samples that are kept: only where it is asked for, as they came, until they are taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from rankspace.client import Client
from rankspace.errors import Corrupt, LimitExceeded, NotFound
from rankspace.media.sample import Part, Sample
from rankspace.store.entries import Rejected, Retention
from tests.client.conftest import Site

LONG = Sample("long", (Part("text", b"x" * 2000),), labels={"split": "valid"})
BROKEN = Sample("broken", (Part("image", b"no picture"),))
GOOD = Sample("good", (Part("text", b"good"),))
STRICT = {"limits": {"text_bytes_max": 1000}}


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Site]:
    opened = Site(tmp_path / "store", STRICT)
    yield opened
    opened.stop()
    opened.store.close()


def test_a_refused_sample_is_kept_as_it_came_and_taken_once_it_fits(strict: Site) -> None:
    with Client(strict.address) as client:
        client.create_stream("s", labels={"rejects": "keep"})
        client.append("s", [GOOD, LONG, BROKEN], offset=0)
        client.append("s", [GOOD, LONG, BROKEN], offset=0)  # sent again, kept once
        found = [(one.offset, one.sample_id, one.reason) for one in client.list_rejects("s")]
        assert found == [(1, "long", "LIMIT_EXCEEDED"), (2, "broken", "MALFORMED_MEDIA")]
        kept, sample = client.get_reject("s", 1)
        assert sample == LONG
        assert (kept.field, kept.raw) == ("parts[0].data", b"")
        assert kept.size > 2000
        assert kept.created_us > 0
        with pytest.raises(LimitExceeded):
            client.retry_reject("s", 1)
    strict.stop()
    strict.settings = {}
    strict.start()
    with Client(strict.address) as client:
        assert client.retry_reject("s", 1) == 3
        assert [one.offset for one in client.list_rejects("s")] == [2]
        with pytest.raises(NotFound):
            client.get_reject("s", 1)
        assert dict(client.read("s")) == {0: GOOD, 3: LONG}
        tombstone = dict(client.read_entries("s"))[1]
        assert isinstance(tombstone, Rejected)


def test_what_has_rotted_is_neither_shown_nor_taken_and_harms_no_other(strict: Site) -> None:
    with Client(strict.address) as client:
        client.create_stream("s", labels={"rejects": "keep"})
        client.append("s", [LONG, BROKEN])
        with strict.store._database.write() as connection:
            rotten = 'UPDATE rejects SET raw = substr(raw, 2) WHERE "offset" = 0'
            connection.execute(text(rotten))
        with pytest.raises(Corrupt, match="not what was kept"):
            client.get_reject("s", 0)
        with pytest.raises(Corrupt, match="not what was kept"):
            client.retry_reject("s", 0)
        assert client.get_reject("s", 1)[1] == BROKEN
        assert client.get_stream("s").next_offset == 2


def test_nothing_is_kept_where_nobody_asks_for_it(client: Client) -> None:
    client.create_stream("s")
    client.append("s", [BROKEN])
    assert list(client.list_rejects("s")) == []
    client.update_stream("s", labels={"rejects": "keep"})
    client.append("s", [BROKEN])
    assert [one.offset for one in client.list_rejects("s")] == [1]


def test_a_stream_is_changed_where_something_is_said(client: Client) -> None:
    client.create_stream("s", "old", {"a": "b"}, Retention(age_s=60))
    changed = client.update_stream("s", description="new")
    assert (changed.description, changed.labels) == ("new", {"a": "b"})
    assert changed.retention == Retention(age_s=60)
    changed = client.update_stream("s", labels={}, retention=Retention(bytes=100))
    assert (changed.description, changed.labels) == ("new", {})
    assert client.get_stream("s").retention == Retention(bytes=100)
    with pytest.raises(NotFound):
        client.update_stream("other", description="x")
