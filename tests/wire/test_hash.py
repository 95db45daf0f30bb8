"""The hash of a batch is of its media, whether these are read already or still in its messages."""

import hashlib

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import InvalidInput
from rankspace.media.sample import Frame, Part, Sample
from rankspace.wire.ingestion import check_hash, write_batch

FIELDS = ("content_hash", "content_blake3")
data = st.binary(max_size=40)
frames = st.lists(st.builds(Frame, st.integers(0, 10**9), data), max_size=3).map(tuple)
parts = st.one_of(
    st.builds(Part, st.sampled_from(["text", "audio", "image", "video"]), data),
    st.builds(Part, st.just("video"), frames=frames),
)
samples = st.builds(Sample, st.text(max_size=5), st.lists(parts, max_size=3).map(tuple))


def media_of(batch: list[Sample]) -> list[bytes]:
    return [
        piece
        for sample in batch
        for part in sample.parts
        for piece in (part.data, *(frame.image for frame in part.frames))
    ]


@given(
    batch=st.lists(samples, max_size=4),
    other=data.filter(bool),
    said=st.sets(st.sampled_from(FIELDS)),
)
def test_a_batch_is_held_to_the_media_it_was_sent_with(
    batch: list[Sample], other: bytes, said: set[str]
) -> None:
    message, media = write_batch(batch, None), media_of(batch)
    whole = b"".join(media)
    assert (message.content_hash, message.content_blake3) == (b"", blake3(whole).digest())
    message.content_hash = hashlib.sha256(whole).digest()
    for name in set(FIELDS) - said:
        setattr(message, name, b"")
    check_hash(message)
    check_hash(message, media)
    message.samples.add().parts.add().text.utf8 = other
    for read in (None, [*media, other]):
        if not said:
            check_hash(message, read)
            continue
        with pytest.raises(InvalidInput, match="send the batch again") as caught:
            check_hash(message, read)
        assert caught.value.field.removeprefix("batch.") in said


@given(batch=st.lists(samples, max_size=4), wrong=st.binary(min_size=1, max_size=33))
@pytest.mark.parametrize("name", FIELDS)
def test_each_hash_is_checked_beside_the_other(
    batch: list[Sample], wrong: bytes, name: str
) -> None:
    message = write_batch(batch, None)
    message.content_hash = hashlib.sha256(b"".join(media_of(batch))).digest()
    check_hash(message)
    setattr(message, name, wrong)
    with pytest.raises(InvalidInput, match="send the batch again") as caught:
        check_hash(message)
    assert caught.value.field == f"batch.{name}"
