"""What is plain and what is not, rule by rule."""

import ctypes
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rankspace import hashing
from rankspace.compiled import library
from rankspace.media.probe import _YEAR_9999_US
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.wire.intake import SOURCES, Intake
from tests.wire.ordinary import (
    INLINE_BYTES_MAX,
    SAMPLES_MAX,
    SMALL,
    STARTS,
    held,
    ordinary,
    sent,
    sha256,
)

LIBRARY = library(*SOURCES)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="no C++ compiler")


@pytest.fixture(scope="module")
def intake() -> Intake:
    found = Intake.load(*SMALL)
    assert found is not None
    return found


def part(data: bytes = b"text", role: str = "en", start_us: int = 0) -> media_pb2.Part:
    return media_pb2.Part(role=role, text=media_pb2.Text(utf8=data), start_us=start_us)


def sample(*parts: media_pb2.Part, sample_id: str = "a", **other: Any) -> media_pb2.Sample:
    return media_pb2.Sample(sample_id=sample_id, parts=parts or [part()], **other)


def text(data: bytes) -> media_pb2.Sample:
    return sample(part(data))


def audio(data: bytes, encoding: Any = 0, rate_hz: int = 0, channels: int = 0) -> media_pb2.Sample:
    sound = media_pb2.Audio(data=data, encoding=encoding, rate_hz=rate_hz, channels=channels)
    return sample(media_pb2.Part(audio=sound))


def image(data: bytes, encoding: Any = 0) -> media_pb2.Sample:
    return sample(media_pb2.Part(image=media_pb2.Image(data=data, encoding=encoding)))


TAKEN = {
    "a text": sample(),
    "an id of all the characters that are taken": sample(sample_id="a ~!" * 2),
    "the last moment": sample(event_time_us=_YEAR_9999_US - 1),
    "the longest role": sample(part(role="_-09az" + "x" * 58)),
    "the longest text": text(b"x" * 60),
    "the longest part": image(STARTS["png"] + bytes(82)),
    "the most that is described": sample(
        media_pb2.Part(
            role="r" * 64, audio=audio(b"x" * 90, 7, 2**31 - 1, 2**31 - 1).parts[0].audio
        ),
        sample_id="12345678",
    ),
    "Opus said to be Ogg": audio(STARTS["opus"], 3),
    "the longest beside its row": text(b"x" * INLINE_BYTES_MAX),
    "the shortest in a region": text(b"x" * (INLINE_BYTES_MAX + 1)),
    "FLAC": audio(STARTS["flac"]),
    "a frame of MP3": audio(b"\xff\xfb"),
    "the last place where Opus is seen": audio(b"OggS" + bytes(52) + b"OpusHead", 5),
    "Opus a byte later": audio(b"OggS" + bytes(53) + b"OpusHead", 3),
}

DECLINED = {
    "no id": sample(sample_id=""),
    "a long id": sample(sample_id="a" * 9),
    "a space before the id": sample(sample_id=" a"),
    "a space behind the id": sample(sample_id="a "),
    "an id of another script": sample(sample_id="ж"),
    "an id that holds a control character": sample(sample_id="a\tb"),
    "an id that holds a delete": sample(sample_id="a\x7f"),
    "a time before 1970": sample(event_time_us=-1),
    "a time after 9999": sample(event_time_us=_YEAR_9999_US),
    "labels": sample(labels={"a": "b"}),
    "no parts": media_pb2.Sample(sample_id="a"),
    "two parts": sample(part(), part()),
    "a long role": sample(part(role="a" * 65)),
    "a role in capitals": sample(part(role="EN")),
    "a role with a line's end": sample(part(role="en\n")),
    "a start": sample(part(start_us=1)),
    "a start before the sample": sample(part(start_us=-1)),
    "a part without content": sample(media_pb2.Part(role="en")),
    "a video": sample(media_pb2.Part(video=media_pb2.Video(data=b"\x1aE\xdf\xa3"))),
    "a growing medium": sample(media_pb2.Part(growing=media_pb2.GrowingMedia(media_id="m"))),
    "an empty text": text(b""),
    "a long text": text(b"x" * 61),
    "a text that is not UTF-8": text(b"\xff"),
    "a text with a lone surrogate": text(b"\xed\xa0\x80"),
    "a text with NUL": text(b"a\0"),
    "an empty sound": audio(b""),
    "empty PCM": audio(b"", 6, 8000, 1),
    "a long part": image(STARTS["png"] + bytes(83)),
    "a picture for a sound": audio(STARTS["png"]),
    "a sound for a picture": image(STARTS["wav"]),
    "a picture that is PCM": image(STARTS["png"], 6),
    "a film for a picture": image(b"\0\0\0\0ftyp"),
    "a film that looks like MP3": audio(b"\xff\xfb\0\0ftyp"),
    "a sound of no known kind": audio(b"RIFF\4\0\0\0XXXX"),
    "another encoding": image(STARTS["png"], 9),
    "Ogg said to be Opus": audio(STARTS["ogg"], 5),
    "Opus where it is not looked for": audio(b"OggS" + bytes(53) + b"OpusHead", 5),
    "an encoding of films": image(STARTS["gif"], 12),
    "an encoding that nobody knows": image(STARTS["gif"], 15),
    "an encoding below all": image(STARTS["gif"], -1),
    "a rate of a file": audio(STARTS["wav"], 0, 8000),
    "channels of a file": audio(STARTS["wav"], 0, 0, 1),
    "a rate below 0": audio(b"xx", 6, -1, 1),
    "channels below 0": audio(b"xx", 6, 8000, -1),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_just_plain_is_taken(intake: Intake, name: str) -> None:
    assert held(intake, sent(pb.SampleBatch(samples=[TAKEN[name]] * SAMPLES_MAX)))


@pytest.mark.parametrize("name", DECLINED)
def test_what_is_not_plain_is_declined(intake: Intake, name: str) -> None:
    assert intake.read(sent(pb.SampleBatch(samples=[sample(), DECLINED[name]]))) is None


def led(tags: bytes, data: bytes) -> bytes:
    """A field in a field in a field."""
    for tag in reversed(tags):
        data = bytes([tag, len(data)]) + data
    return data


GOOD = sent(pb.SampleBatch(samples=[sample()]))
ID, PCM, LONG = b"\x0a\x01a", b"\x0a\x02xx\x10\x06", b"\x81\x80\x80\x80\x10"
HASH = sha256(pb.SampleBatch(samples=[sample()]))
BLAKE3 = hashing.digest(b"text")
INNER = GOOD[2:]  # the batch
SAMPLE = INNER[2:]
UNUSUAL = {
    "nothing": b"",
    "a batch of none": b"\x12\x00",
    "too many samples": GOOD * (SAMPLES_MAX + 1),
    "a setup": b"\x0a\x00" + GOOD,
    "a piece": GOOD + b"\x1a\x00",
    "a field that nobody knows": GOOD + b"\x50\x00",
    "a group": GOOD + b"\x53\x54",
    "an offset below 0": GOOD + sent(pb.SampleBatch(offset=-1)),
    "a hash too short": GOOD + b"\x12\x03\x1a\x01a",
    "an empty hash": GOOD + b"\x12\x02\x1a\x00",
    "a batch that ends early": GOOD[:-1],
    "a batch that is too long": bytes([GOOD[0], GOOD[1] + 1]) + INNER,
    "an offset in two bytes": GOOD + b"\x12\x03\x08\x80\x00",
    "a length in two bytes": bytes([0x12, len(INNER) | 0x80, 0]) + INNER,
    "a tag in two bytes": b"\x92\x00" + GOOD[1:],
    "an offset twice in one batch": GOOD + b"\x12\x04\x08\x01\x08\x02",
    "an offset of another type": GOOD + b"\x12\x02\x0a\x00",
    "an id twice": bytes([0x12, len(INNER) + 3, 0x12, len(SAMPLE) + 3]) + SAMPLE + b"\x0a\x01b",
    "a part with two contents": led(
        b"\x12\x12", ID + led(b"\x1a", led(b"\x12\x0a", b"x") + led(b"\x1a\x0a", b"ID3"))
    ),
    "a rate of more than 31 bits": led(b"\x12\x12", ID + led(b"\x1a\x1a", PCM + b"\x18" + LONG)),
    "as many channels": led(b"\x12\x12", ID + led(b"\x1a\x1a", PCM + b"\x20" + LONG)),
    "a hash too long": GOOD + led(b"\x12\x1a", HASH + b"\0"),
    "a BLAKE3 too short": GOOD + led(b"\x12\x22", BLAKE3[:-1]),
    "a BLAKE3 too long": GOOD + led(b"\x12\x22", BLAKE3 + b"\0"),
    "an empty BLAKE3": GOOD + b"\x12\x02\x22\x00",
    "a BLAKE3 of another type": GOOD + b"\x12\x02\x20\x00",
    "a hash twice in one batch": GOOD + led(b"\x12", 2 * led(b"\x1a", HASH)),
    "a BLAKE3 twice in one batch": GOOD + led(b"\x12", 2 * led(b"\x22", BLAKE3)),
    "a field of 0": GOOD + b"\x02\x00",
    "a number without an end": GOOD + b"\x12\x0b\x08" + b"\xff" * 10,
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_protobuf_would_not_write_for_a_plain_batch_is_declined(
    intake: Intake, name: str
) -> None:
    assert intake.read(UNUSUAL[name]) is None


def test_what_it_would_write_is_taken(intake: Intake) -> None:
    assert held(intake, GOOD)
    assert held(intake, GOOD + led(b"\x12\x1a", HASH))
    assert held(intake, GOOD + led(b"\x12\x22", BLAKE3))
    assert held(intake, GOOD + led(b"\x12", led(b"\x22", BLAKE3) + led(b"\x1a", HASH)))
    assert held(intake, led(b"\x12\x12", ID + led(b"\x1a\x1a", PCM + b"\x18\x01\x20\x01")))
    assert held(intake, led(b"\x12\x12", ID + led(b"\x1a\x12\x0a", b"x")))


RIGHT, WRONG = {b"\x1a": HASH, b"\x22": BLAKE3}, bytes(32)


@pytest.mark.parametrize("tag", RIGHT)
def test_of_batches_that_are_joined_the_last_hash_holds(intake: Intake, tag: bytes) -> None:
    right, wrong = (led(b"\x12" + tag, value) for value in (RIGHT[tag], WRONG))
    for message in (right + GOOD, wrong + GOOD + right, GOOD + wrong + right):
        assert held(intake, message)
    beside = b"".join(led(b"\x12" + other, RIGHT[other]) for other in RIGHT)
    for message in (wrong + GOOD, right + GOOD + wrong, GOOD + beside + wrong):
        assert intake.read(message) is None
        assert ordinary(message) is None


EDGES = bytes.fromhex("00207f808f909fa0bfc0c1c2dfe0edeff0f4f5ff")


def sequences() -> Iterator[bytes]:
    """Two bytes of any kind; three and four of which the others stand at the edges of ranges."""
    pairs = [bytes([first, second]) for first in range(256) for second in range(256)]
    yield from pairs
    leads = [bytes([first, second]) for first in range(0xDF, 0xF8) for second in EDGES]
    for lead in leads:
        for third in EDGES:
            yield lead + bytes([third])
            yield from (lead + bytes([third, fourth]) for fourth in EDGES)


@pytest.mark.parametrize("name", ["utf8_fast", "utf8_plain"])
def test_a_text_is_one_to_python_too(name: str) -> None:
    takes: Callable[[bytes, int], int] = ctypes.CDLL(str(LIBRARY))[name]
    chance = random.Random(0)
    for sequence in sequences():
        whole = b"x" * chance.randrange(34) + sequence + "é".encode() * chance.randrange(2)
        try:
            right = b"\0" not in whole and bool(whole.decode())
        except UnicodeDecodeError:
            right = False
        assert bool(takes(whole, len(whole))) == right, whole
