"""A sample is taken whole or refused with the field that is at fault."""

import numpy as np
import pytest
from hypothesis import given

from rankspace.errors import InvalidInput, LimitExceeded, MalformedMedia
from rankspace.media import decode, encode
from rankspace.media.limits import Limits
from rankspace.media.probe import check, probe
from rankspace.media.sample import Frame, Part, Sample
from tests.strategies import samples

LIMITS = Limits()
TEXT = Part("text", "слон".encode(), role="ru")
PNG = encode.png(np.zeros((4, 6, 3), np.uint8))
WAV = encode.wav(np.zeros(800, np.float32))


def test_a_good_sample_is_probed_part_by_part() -> None:
    parts = (
        TEXT,
        Part("image", PNG, "png"),
        Part("audio", WAV, role="speech-ru"),
        Part("video", encoding="frames", frames=(Frame(0, PNG),)),
    )
    probes = check(Sample("слон/1 a", parts, labels={"split": "valid"}), LIMITS)
    assert [seen.modality for seen in probes] == ["text", "image", "audio", "video"]
    assert [seen.encoding for seen in probes] == ["", "png", "wav", "frames"]
    assert [seen.decoded_bytes for seen in probes] == [8, 72, 3200, 72]


@given(samples())
def test_any_sample_is_probed_or_refused_with_a_field(sample: Sample) -> None:
    try:
        probes = check(sample, LIMITS)
    except InvalidInput as error:
        if error.field:
            return
        raise
    assert len(probes) == len(sample.parts)


@pytest.mark.parametrize(
    ("sample", "field"),
    [
        (Sample("", (TEXT,)), "sample_id"),
        (Sample(" a", (TEXT,)), "sample_id"),
        (Sample("a\nb", (TEXT,)), "sample_id"),
        (Sample("a\ud800", (TEXT,)), "sample_id"),
        (Sample("a" * 257, (TEXT,)), "sample_id"),
        (Sample("a", ()), "parts"),
        (Sample("a", (TEXT,) * 17), "parts"),
        (Sample("a", (TEXT,), event_time_us=-1), "event_time_us"),
        (Sample("a", (TEXT,), labels={"": "x"}), "labels"),
        (Sample("a", (TEXT,), labels={"k": "x" * 1025}), "labels"),
        (Sample("a", (TEXT,), labels={str(at): "" for at in range(33)}), "labels"),
        (Sample("a", (TEXT, Part("text", b"x", role="Ru"))), "parts[1].role"),
        (Sample("a", (Part("text", b"x", role="r" * 65),)), "parts[0].role"),
        (Sample("a", (Part("text", b""),)), "parts[0].data"),
        (Sample("a", (Part("text", b"x", rate_hz=1),)), "parts[0].rate_hz"),
        (Sample("a", (Part("image", PNG, "jpeg"),)), "parts[0].encoding"),
        (Sample("a", (Part("image", PNG, frames=(Frame(0, PNG),)),)), "parts[0].frames"),
        (Sample("a", (Part("video", encoding="frames"),)), "parts[0].frames"),
        (
            Sample("a", (Part("video", PNG, "frames", frames=(Frame(0, PNG),)),)),
            "parts[0].data",
        ),
        (
            Sample("a", (TEXT, Part("video", encoding="frames", frames=(Frame(0, b"x"),)))),
            "parts[1].frames[0].image",
        ),
        (Sample("a", (Part("audio", b"\0", "pcm_s16le", channels=1),)), "parts[0].rate_hz"),
    ],
)
def test_a_refusal_names_its_field(sample: Sample, field: str) -> None:
    with pytest.raises((MalformedMedia, LimitExceeded)) as caught:
        check(sample, LIMITS)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "part", [TEXT, Part("image", PNG), Part("audio", WAV)], ids=lambda part: part.modality
)
def test_a_part_may_weigh_as_much_as_is_taken_and_no_more(part: Part) -> None:
    probe(part, Limits(part_bytes_max=len(part.data)))
    with pytest.raises(LimitExceeded):
        probe(part, Limits(part_bytes_max=len(part.data) - 1))


def test_what_is_probed_is_what_is_decoded() -> None:
    assert (
        probe(Part("audio", WAV), LIMITS).decoded_bytes
        == decode.audio(Part("audio", WAV), LIMITS).nbytes
    )
