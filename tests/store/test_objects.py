"""Media in a bucket: what is written can be read, is seen by nobody else, and goes when freed."""

import signal
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankspace.errors import Corrupt, InvalidConfig, NotFound, Overloaded
from rankspace.store.blobs import Blobs, Region, Used
from rankspace.store.bucket import Bucket
from rankspace.store.config import S3Config
from rankspace.store.objects import Objects
from tests.s3 import PAGE, S3

SIZES = (0, 1, 1000, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 600 << 10)
OF_ONE_BUCKET = settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def room(s3: S3) -> str:
    return s3.fresh()


@pytest.fixture
def bucket(s3: S3, room: str) -> Iterator[Bucket]:
    config = S3Config(endpoint=s3.endpoint, region="us-east-1", tries=2)
    opened = Bucket(f"s3://{room}/prefix", config, 4)
    yield opened
    opened.close()


@pytest.fixture
def objects(bucket: Bucket) -> Objects:
    made = Objects(bucket, "ours")
    made.claim()
    return made


def write(objects: Objects, pieces: Sequence[bytes]) -> Region:
    """One batch."""
    (region,) = objects.write_all([pieces])
    return region


def used(*regions: Region) -> Used:
    """A store whose rows name these."""

    def find(names: Sequence[str]) -> list[Region]:
        return [region for region in regions if region.name in names]

    return find


def test_a_bucket_is_a_place_for_media(objects: Objects) -> None:
    assert isinstance(objects, Blobs)


@given(st.lists(st.tuples(st.sampled_from(SIZES), st.integers(0, 255)), min_size=1, max_size=5))
@OF_ONE_BUCKET
def test_every_piece_is_at_its_place(objects: Objects, pieces: list[tuple[int, int]]) -> None:
    media = [bytes([fill]) * size for size, fill in pieces]
    region = write(objects, media)
    objects.settle([region])
    at = 0
    for piece in media:
        assert objects.get(region.place(at, len(piece))) == piece
        at += len(piece)
    assert region.length == at


def test_what_is_not_there_or_too_short_is_told(objects: Objects, bucket: Bucket) -> None:
    region = write(objects, [b"sound"])
    bucket.put(f"ours/{region.name}", b"soun")
    with pytest.raises(Corrupt):
        objects.get(region.place(0, 5))
    with pytest.raises(Corrupt):
        objects.get(region.place(600 << 10, 5))
    objects.free([region])
    with pytest.raises(NotFound):
        objects.get(Region(region.name, 0, 300 << 10).place(0, 300 << 10))


@pytest.mark.parametrize("place", ["", "../../etc/passwd:0:1", "0" * 32, f"{'0' * 32}:-1:4"])
def test_a_damaged_place_leads_nowhere(objects: Objects, place: str) -> None:
    with pytest.raises(Corrupt):
        objects.get(place)


def test_what_is_freed_is_gone(objects: Objects, s3: S3, room: str) -> None:
    kept, gone = write(objects, [b"kept"]), write(objects, [b"gone"])
    objects.free([gone])
    assert s3.keys(room) == sorted([f"prefix/ours/{kept.name}", "prefix/ours/store"])


def test_a_sweep_deletes_what_nothing_names_and_only_of_this_store(
    objects: Objects, bucket: Bucket, s3: S3, room: str
) -> None:
    named, lost = write(objects, [b"named"]), write(objects, [b"lost"])
    theirs = Objects(bucket, "theirs")
    other = write(theirs, [b"other"])
    bucket.put("ours/notes.txt", b"of somebody")
    assert objects.sweep(used(named), age_s=3600.0) == 0, "an append may be about to name it"
    assert Objects(bucket, "ours").sweep(used(named), age_s=0.0) == 1
    left = [f"ours/{named.name}", "ours/notes.txt", "ours/store", f"theirs/{other.name}"]
    assert s3.keys(room) == sorted(f"prefix/{key}" for key in left)
    with pytest.raises(NotFound):
        objects.get(lost.place(0, 4))


def test_a_sweep_looks_at_every_page(objects: Objects, s3: S3, room: str) -> None:
    regions = [write(objects, [b"sound"]) for _ in range(2 * PAGE)]
    assert objects.sweep(used(*regions[::2]), age_s=0.0) == PAGE
    assert len(s3.keys(room)) == PAGE + 1
    assert objects.sweep(used(*regions[::2]), age_s=0.0) == 0


def test_what_could_not_be_freed_goes_with_a_later_sweep(
    objects: Objects, s3: S3, room: str
) -> None:
    region = write(objects, [b"sound"])
    s3.behave(status=503)
    objects.free([region])
    with pytest.raises(Overloaded):
        objects.sweep(used(), age_s=0.0)
    s3.behave()
    again = Objects(objects._bucket, "ours")
    objects._bucket._away_until = 0.0
    assert again.sweep(used(), age_s=0.0) == 1
    assert s3.keys(room) == ["prefix/ours/store"]


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(objects: Objects, s3: S3) -> None:
    regions = [write(objects, [bytes([number]) * 1000]) for number in range(5)]
    s3.end(signal.SIGKILL)
    with pytest.raises(Overloaded):
        write(objects, [b"sound"])
    s3.start()
    objects._bucket._away_until = 0.0
    for number, region in enumerate(regions):
        assert objects.get(region.place(0, 1000)) == bytes([number]) * 1000


def test_a_bucket_of_another_store_is_refused(bucket: Bucket, objects: Objects) -> None:
    objects.check()
    with pytest.raises(InvalidConfig, match="no media of this database") as caught:
        Objects(bucket, "theirs").check()
    assert caught.value.field == "store.blobs"
