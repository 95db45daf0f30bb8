"""A stream that strips metadata: what is stored tells nothing of who made it, and retries hold."""

from io import BytesIO

import pytest

from rankspace.client import Client, Growing
from rankspace.media.sample import Part, Sample
from rankspace.media.strip.whole import strip
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Rejected
from rankspace.store.store import Store
from tests.client.conftest import Site
from tests.media.strip.planted import FILES, SECRET, segment
from tests.store.test_retention import found

PARTS = {name: make() for name, make in FILES.items()}
SAMPLES = [Sample(name.replace(" ", "-"), (part,)) for name, part in PARTS.items()]
ODD = Sample(
    "odd",
    (
        Part(
            "image",
            b"\xff\xd8" + segment(0xF0, SECRET) + b"\xff\xc0\0\x0b\x08\0\x09\0\x09\1\1\x11\0",
        ),
    ),
)


@pytest.fixture
def bare(client: Client) -> Client:
    made = client.create_stream("bare", labels={"rejects": "keep"}, strip_metadata=True)
    assert made.strip_metadata
    assert client.get_stream("bare").strip_metadata
    assert not client.create_stream("plain").strip_metadata
    return client


def test_nothing_that_is_stored_holds_a_secret(site: Site, bare: Client) -> None:
    summary = bare.append("bare", [*SAMPLES, ODD])
    stored = dict(bare.read("bare"))
    assert [stored[at].parts[0] for at in range(len(SAMPLES))] == [*map(strip, PARTS.values())]
    assert summary.rejected == 1
    left = dict(bare.read_entries("bare"))[len(SAMPLES)]
    assert isinstance(left, Rejected)
    assert left.reason == "MALFORMED_MEDIA"
    assert "segment of an unknown kind" in left.message
    assert not found(site.store.config.folder, SECRET)
    assert not list(bare.list_rejects("bare"))


def test_a_stream_that_does_not_strip_keeps_what_was_sent(site: Site, bare: Client) -> None:
    bare.append("plain", SAMPLES)
    assert [sample for _, sample in bare.read("plain")] == SAMPLES
    assert found(site.store.config.folder, SECRET)


def test_a_retry_is_a_duplicate_though_what_is_stored_differs(bare: Client) -> None:
    for _ in range(2):
        bare.append("bare", [*SAMPLES, ODD], offset=0)
    assert bare.get_stream("bare").next_offset == len(SAMPLES) + 1


def test_what_grew_is_stripped_and_its_pieces_go(site: Site, bare: Client) -> None:
    whole = PARTS["mp3"]
    bare.append("bare", [Sample("live", (Growing("audio", source=BytesIO(whole.data)),))])
    (stored,) = (sample for _, sample in bare.read("bare"))
    assert stored.parts == (strip(whole),)
    folder = site.store.config.folder
    with Store.open(StoreConfig(folder=folder, growing_taken_s=0.001)) as upkeep:
        assert found(folder, SECRET)  # for a while, should the batch be sent again
        assert upkeep.pieces.collect() == 1
        upkeep.log.sweep()
    assert not found(folder, SECRET)
