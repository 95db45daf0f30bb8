"""The ordinary way into the store, beside which the native one is held.

python -m tests.wire.ordinary LIBRARY INPUTS      damaged messages, as many, through this library
"""

import hashlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from rankspace.errors import InvalidInput, NotBuilt
from rankspace.media import encode
from rankspace.media.heads import heads_of
from rankspace.media.limits import Limits
from rankspace.media.probe import check_form
from rankspace.media.sample import Part, Sample
from rankspace.store.drafts import Batch, Draft
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire import ingestion
from rankspace.wire.intake import Intake, Plain
from rankspace.wire.media import read_sample
from tests.worlds import picture, tone

LIMITS = Limits(text_bytes_max=60, part_bytes_max=90, sample_id_chars_max=8)
"""Small, so that what is drawn at random meets them."""

SAMPLES_MAX = 4
INLINE_BYTES_MAX = 24
STARTS = {
    "wav": b"RIFF\4\0\0\0WAVE",
    "flac": b"fLaC",
    "ogg": b"OggS",
    "opus": b"OggS" + bytes(20) + b"OpusHead",
    "mp3": b"ID3",
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff",
    "webp": b"RIFF\4\0\0\0WEBP",
    "gif": b"GIF89a",
}
Bounds = tuple[Limits, int, int]
SMALL: Bounds = (LIMITS, SAMPLES_MAX, INLINE_BYTES_MAX)


def ordinary(message: bytes, bounds: Bounds = SMALL) -> tuple[list[Sample], Batch] | None:
    """The samples of a message and how they are laid out; None: something of it is refused."""
    limits, samples_max, inline_bytes_max = bounds
    try:
        request = pb.AppendSamplesRequest.FromString(message)
        if request.WhichOneof("request") != "batch":
            return None
        if not 0 < len(request.batch.samples) <= samples_max:
            return None
        samples = [read_sample(sample) for sample in request.batch.samples]
        for sample in samples:
            check_form(sample, limits)
        ingestion.check_hash(request.batch)
        offset = ingestion.read_offset(request.batch)
    except (DecodeError, InvalidInput, NotBuilt):
        return None
    return samples, Draft(samples, inline_bytes_max, ("s", offset, 0, "synced")).batch()


def held(intake: Intake, message: bytes, bounds: Bounds = SMALL) -> bool:
    """The law for one message: it is declined, or told as the ordinary way tells it."""
    plain = intake.read(message)
    if plain is not None:
        found = ordinary(message, bounds)
        assert found is not None
        assert_equal(plain, *found)
    return plain is not None


def assert_equal(plain: Plain, samples: list[Sample], batch: Batch) -> None:
    """Field by field, and type by type."""
    assert plain.offset == batch.offset
    assert plain.entries == batch.entries
    for row, other in zip(plain.entries, batch.entries, strict=True):
        assert type(row) is type(other)
        assert [*map(type, row)] == [*map(type, other)]
    assert b"".join(plain.pieces) == b"".join(batch.pieces)
    assert plain.size == batch.size
    assert plain.samples() == samples
    assert plain.samples({len(samples) - 1}) == samples[-1:]
    looked = [at for at, one in enumerate(samples) if one.parts[0].modality != "text"]
    heads, short, whole = heads_of([samples[at].parts[0] for at in looked])
    assert plain.heads == heads
    assert [*plain.short] == [looked[at] for at in short]
    assert [*plain.whole] == [looked[at] for at in whole]


def sent(batch: pb.SampleBatch) -> bytes:
    """The message of a batch."""
    return pb.AppendSamplesRequest(batch=batch).SerializeToString()


def sha256(batch: pb.SampleBatch) -> bytes:
    """SHA-256 of its media: `content_hash`."""
    return hashlib.sha256(b"".join(ingestion.content(batch.samples))).digest()


def messages() -> list[bytes]:
    """Plain messages, and two that are not."""
    wave, pixels = tone(300, 0.001), picture(1, 2)
    media = [
        Part("text", "Привет, мир. 你好 🎉".encode(), role="ru"),
        Part("audio", encode.wav(wave)[:90]),
        Part("audio", encode.pcm_s16le(wave)[:80], "pcm_s16le", "", 16_000, 1),
        Part("audio", b"OggS" + bytes(24) + b"OpusHead", "ogg"),
        Part("image", encode.png(pixels)[:90], "png", "photo"),
        Part("image", b"\xff\xd8\xff\xe0" + bytes(9)),
    ]
    samples = [Sample(f"s-{at}", (part,), 10**15) for at, part in enumerate(media)]
    batches = [
        ingestion.write_batch(samples[:4], 7),
        ingestion.write_batch(samples[2:], None),
        ingestion.write_batch(samples[1:3], 1),
        ingestion.write_batch(samples[:2], 2),
        ingestion.write_batch([Sample("labels", (media[0],), 0, {"a": "b"})], 0),
        ingestion.write_batch([Sample("two", tuple(media[:2]))], 0),
    ]
    batches[1].ClearField("content_blake3")
    for batch in batches[2:4]:
        batch.content_hash = sha256(batch)
    batches[3].ClearField("content_blake3")
    joined = sent(pb.SampleBatch(samples=batches[0].samples[:1])) + sent(pb.SampleBatch(offset=3))
    return [*map(sent, batches), joined]


def damaged(message: bytes, chance: random.Random) -> bytes:
    """With bytes changed, cut out, put in or said twice."""
    broken = bytearray(message)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        at = chance.randrange(len(broken) + 1)
        to = min(len(broken), at + chance.choice((1, 2, 4, 30)))
        match chance.randrange(5):
            case 0 if at < len(broken):
                broken[at] ^= 1 << chance.randrange(8)
            case 1:
                del broken[at:to]
            case 2:
                broken[at:at] = chance.randbytes(to - at)
            case 3:
                broken[at:at] = broken[at:to]
            case _:
                broken[at:to] = chance.choice((b"\x00", b"\xff", b"\x7f", b"\x80", b"\x12\x00"))
    return bytes(broken)


def inputs(count: int, seed: int = 0) -> Iterator[bytes]:
    """Damaged messages, the same for a seed."""
    chance, right = random.Random(seed), messages()
    for at in range(count):
        yield damaged(right[at % len(right)], chance)


def main() -> None:
    """Hold so many damaged messages against the law; say how many were taken."""
    intake = Intake(Path(sys.argv[1]), *SMALL)
    taken = sum(held(intake, message) for message in inputs(int(sys.argv[2])))
    sys.stdout.write(f"{taken} taken\n")


if __name__ == "__main__":
    main()
