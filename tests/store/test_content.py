"""The content hash knows every field; the form a row keeps loses none."""

import json
import struct
from dataclasses import replace

import pytest
from blake3 import blake3
from hypothesis import given

from rankspace.errors import Corrupt
from rankspace.media.sample import Frame, Part, Sample
from rankspace.store import content
from rankspace.store.entries import Rejected
from tests.strategies import samples


@given(samples(), samples())
def test_samples_have_equal_hashes_only_if_they_are_equal(one: Sample, other: Sample) -> None:
    assert (content.digest(one) == content.digest(other)) == (one == other)


@given(samples())
def test_the_order_of_labels_changes_nothing(sample: Sample) -> None:
    turned = dict(reversed(list(sample.labels.items())))
    assert content.digest(replace(sample, labels=turned)) == content.digest(sample)


@given(samples())
def test_unpacking_gives_back_what_was_packed(sample: Sample) -> None:
    parts, pieces = content.pack(sample)
    media, rows = b"".join(pieces), json.loads(parts)
    assert content.unpack(rows, media) == sample.parts
    assert content.size(rows) == len(media) == content.media_bytes(sample)
    hollow = content.outline(rows)
    assert [(part.modality, part.role) for part in hollow] == [
        (part.modality, part.role) for part in sample.parts
    ]
    assert not any(part.data or part.frames for part in hollow)


def test_the_hash_is_that_of_the_layout_written_down() -> None:
    def text(value: bytes) -> bytes:
        return struct.pack("<I", len(value)) + value

    def media(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    part = Part("video", b"xyz", "frames", "word", 8000, 2, (Frame(-5, b"png"),))
    sample = Sample("é", (part,), 7, {"b": "2", "a": "1"})
    layout = b"rankspace.sample.1" + text("é".encode()) + struct.pack("<q", 7)
    layout += struct.pack("<I", 2) + text(b"a") + text(b"1") + text(b"b") + text(b"2")
    layout += struct.pack("<I", 1) + text(b"video") + text(b"frames") + text(b"word")
    layout += struct.pack("<II", 8000, 2) + media(b"xyz")
    layout += struct.pack("<I", 1) + struct.pack("<q", -5) + media(b"png")
    assert content.digest(sample) == blake3(layout).digest()


def test_a_rejected_sample_has_the_hash_of_what_was_sent() -> None:
    sample = Sample("a", (Part("text", b"x"),))
    rejected = Rejected("a", "MALFORMED_MEDIA", "no", sample)
    assert content.digest(rejected) == content.digest(sample)


def test_without_what_was_sent_a_rejection_is_known_by_its_name_and_reason() -> None:
    one = Rejected("a", "MALFORMED_MEDIA", "no")
    assert content.digest(one) == content.digest(replace(one, message="said otherwise"))
    assert content.digest(one) != content.digest(replace(one, reason="LIMIT_EXCEEDED"))


def test_a_payload_that_is_too_short_is_corrupt() -> None:
    parts, _ = content.pack(Sample("a", (Part("text", b"four"),)))
    with pytest.raises(Corrupt):
        content.unpack(json.loads(parts), b"fou")
