"""What is sent: real media of four sizes, no two samples alike, the same for all contenders.

    text   1 KB of sentences                     64 samples a batch
    image  a JPEG of 32 KB                       16
    audio  a WAV of 256 KB, speech at 16 kHz      4
    mix    the three in turn                     32 texts, 8 images, 2 sounds

Media are made once, from the built-in sample. Sixteen bytes in each (of the text, of a comment in
the JPEG, of the PCM) hold a number that is never used twice, so that nothing can be stored once for
many. A wire message is made once too; for each send its numbers are written over and its offset is
put behind: protobuf merges a field that comes twice, so the client costs one copy a message.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import count

import numpy as np
from PIL import Image

from benchmarks import media
from rankspace.media import encode
from rankspace.media.sample import Modality, Part
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.wire.media import write_part

KB = 1024
NUMBER = 16
"""Bytes of the number in each medium."""

SIDE = 480
"""Pixels of a picture's edge."""

BATCHES = {
    "text": {"text": 64},
    "image": {"image": 16},
    "audio": {"audio": 4},
    "mix": {"text": 32, "image": 8, "audio": 2},
}
"""Samples of each modality in a batch."""

_numbers = count(1)


@dataclass(frozen=True)
class Medium:
    """A medium with room for a number."""

    modality: Modality
    head: bytes
    tail: bytes

    def numbered(self, number: int) -> bytes:
        return self.head + written(number) + self.tail

    def __len__(self) -> int:
        return len(self.head) + NUMBER + len(self.tail)


def written(number: int) -> bytes:
    """A number as sixteen characters."""
    return b"%0*x" % (NUMBER, number)


@cache
def known() -> dict[str, list[Medium]]:
    """A few media of each modality."""
    return {"text": _texts(), "image": _pictures(), "audio": _sounds()}


def _texts() -> list[Medium]:
    sentences, _ = media.texts()["sentences ru, en"]
    size = KB - NUMBER
    cuts = [sentences[at : at + size].decode("utf-8", "ignore") for at in range(0, 16 * size, size)]
    return [Medium("text", b"", cut.encode().ljust(size)) for cut in cuts]


def _pictures() -> list[Medium]:
    """Walls of photos, as fine as fits, filled up by a comment."""
    tiles = [Image.fromarray(pixels) for pixels in media.photos()]
    edge = SIDE // 5
    found = []
    for first in range(8):
        wall = Image.new("RGB", (SIDE, SIDE))
        for at in range(25):
            tile = tiles[(first * 5 + at) % len(tiles)].resize((edge, edge))
            wall.paste(tile, (at % 5 * edge, at // 5 * edge))
        found.append(_jpeg(wall, 32 * KB))
    return found


def _jpeg(picture: Image.Image, size: int) -> Medium:
    room = size - 4 - NUMBER  # the comment's mark and length
    qualities = (_written(picture, quality) for quality in range(95, 5, -5))
    whole = next(file for file in qualities if len(file) <= room)
    comment = size - len(whole) - 2  # its length counts itself, not its mark (ITU-T T.81 B.2.4.5)
    head = whole[:2] + b"\xff\xfe" + comment.to_bytes(2, "big")
    return Medium("image", head, bytes(comment - 2 - NUMBER) + whole[2:])


def _written(picture: Image.Image, quality: int) -> bytes:
    file = BytesIO()
    picture.save(file, "jpeg", quality=quality)
    return file.getvalue()


def _sounds() -> list[Medium]:
    wave = np.concatenate(media.speech())
    samples = (256 * KB - 44) // 2
    files = [
        encode.wav(np.asarray(wave[at : at + samples], np.float32))
        for at in range(0, len(wave) - samples, samples)
    ]
    return [Medium("audio", file[:44], file[44 + NUMBER :]) for file in files]


def drawn(kind: str, batched: bool = True) -> list[Medium]:
    """The media of a batch; one medium if not batched."""
    kinds = BATCHES[kind].items()
    media_known = known()
    if not batched:
        return [media_known[next(iter(BATCHES[kind]))][0]]
    lists = [
        [media_known[name][at % len(media_known[name])] for at in range(n)] for name, n in kinds
    ]
    return [medium for chosen in lists for medium in chosen]


class Batch:
    """One batch, to be sent again and again with other numbers."""

    def __init__(self, media_in: Sequence[Medium]) -> None:
        self.media = tuple(media_in)
        self.samples = len(self.media)
        self.bytes = sum(map(len, self.media))
        self._message, self._places = _template(self.media)

    def message(self, offset: int) -> bytes:
        """An AppendSamplesRequest that carries this offset."""
        for place in self._places:
            self._message[place : place + NUMBER] = written(next(_numbers))
        behind = pb.AppendSamplesRequest(batch=pb.SampleBatch(offset=offset))
        return b"".join((self._message, behind.SerializeToString()))

    def rows(self) -> Iterator[tuple[str, str, bytes]]:
        """(sample id, modality, data) for stores that know nothing of ours."""
        for at, medium in enumerate(self.media):
            yield f"sample-{at}", medium.modality, medium.numbered(next(_numbers))


def _template(media_in: Sequence[Medium]) -> tuple[bytearray, list[int]]:
    """The message, and where its numbers stand."""
    marks = [written((1 << 60) + at) for at in range(len(media_in))]
    samples = [
        media_pb2.Sample(
            sample_id=f"sample-{at}",
            parts=[write_part(Part(medium.modality, medium.numbered((1 << 60) + at)))],
        )
        for at, medium in enumerate(media_in)
    ]
    request = pb.AppendSamplesRequest(batch=pb.SampleBatch(samples=samples))
    message = bytearray(request.SerializeToString())
    return message, [message.index(mark) for mark in marks]


def setup(stream: str) -> bytes:
    """The message that opens an append."""
    asked = pb.AppendSetup(stream=f"streams/{stream}")
    return pb.AppendSamplesRequest(setup=asked).SerializeToString()
