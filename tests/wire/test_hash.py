"""The hash of a batch is of its media, whether these are read already or still in its messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import InvalidInput
from rankspace.media.sample import Frame, Part, Sample
from rankspace.wire.ingestion import check_hash, write_batch

data = st.binary(max_size=40)
frames = st.lists(st.builds(Frame, st.integers(0, 10**9), data), max_size=3).map(tuple)
parts = st.one_of(
    st.builds(Part, st.sampled_from(["text", "audio", "image", "video"]), data),
    st.builds(Part, st.just("video"), frames=frames),
)
samples = st.builds(Sample, st.text(max_size=5), st.lists(parts, max_size=3).map(tuple))


@given(batch=st.lists(samples, max_size=4), other=data.filter(bool))
def test_a_batch_is_held_to_the_media_it_was_sent_with(batch: list[Sample], other: bytes) -> None:
    message = write_batch(batch, None)
    media = [
        piece
        for sample in batch
        for part in sample.parts
        for piece in (part.data, *(frame.image for frame in part.frames))
    ]
    check_hash(message)
    check_hash(message, media)
    with pytest.raises(InvalidInput, match="send the batch again"):
        check_hash(message, [*media, other])
    message.samples.add().parts.add().text.utf8 = other
    with pytest.raises(InvalidInput, match="send the batch again"):
        check_hash(message)
