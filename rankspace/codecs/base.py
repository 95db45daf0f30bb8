"""What a modality must offer: a codec, learnt from media, that turns them into symbols and back.

Every codec obeys three laws (tests/codecs/test_laws.py):

    cut         how media or symbols are cut into pieces changes nothing
    range       every symbol lies in [0, size), and at its place in its slot
    projection  decode then encode keeps the symbols: exactly for text, in a stated share elsewhere

Shapes: symbols are int32 [N]. Media pieces are decoded media: bytes of UTF-8 text; float32 [N] of
mono audio at `AUDIO_RATE_HZ`; uint8 [H, W, 3] rows of a picture (any H, one W); `Clip`s of video.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rankspace.media.clip import AUDIO_RATE_HZ as AUDIO_RATE_HZ
from rankspace.media.clip import TimedFrame as TimedFrame
from rankspace.media.sample import Modality

Symbols = NDArray[np.int32]
In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)
Media = TypeVar("Media")


@runtime_checkable
class Coder(Protocol[In, Out]):
    """One direction of one stream. Use once: `push` any number of times, then `finish`."""

    def push(self, piece: In, /) -> Out:
        """Take the next piece; return all that is settled so far."""

    def finish(self) -> Out:
        """Return what was held back; raise MalformedMedia if the media stop midway."""


@runtime_checkable
class Codec(Protocol[Media]):
    """A modality that has been learnt from data."""

    @property
    def name(self) -> Modality:
        """The modality."""

    @property
    def size(self) -> int:
        """How many symbols there are."""

    @property
    def features(self) -> NDArray[np.float32]:
        """[size, F]: what each symbol is like, so that like symbols start alike; F may be 0."""

    @property
    def cycle(self) -> int:
        """Symbols that repeat one layout (a picture, an audio step); 0 where there is none."""

    @property
    def slots(self) -> tuple[range, ...]:
        """Where symbols may lie: the i-th of a message lies in `slots[i % len(slots)]`."""

    @property
    def layout(self) -> tuple[tuple[str, int], ...]:
        """Whose symbols these are, in order, with sizes: video holds those of pictures too."""

    @property
    def hash(self) -> str:
        """A name for this very codec: equal for equal codecs, on any machine."""

    def encoder(self) -> Coder[Media, Symbols]:
        """Start a stream from media to symbols."""

    def decoder(self) -> Coder[Symbols, Media]:
        """Start a stream from symbols to media."""

    def save(self, folder: Path) -> None:
        """Write `<name>.json` and, where there are arrays, `<name>.safetensors`."""


def encode(codec: Codec[Media], pieces: Iterable[Media]) -> Symbols:
    """Encode a whole message at once."""
    coder = codec.encoder()
    return np.concatenate([*map(coder.push, pieces), coder.finish()])


def decode(codec: Codec[Media], pieces: Iterable[Symbols]) -> Sequence[Media]:
    """Decode a whole message: the pieces of media as they come."""
    coder = codec.decoder()
    return [*map(coder.push, pieces), coder.finish()]
