"""Symbols to media as they come: what a listener hears while the model is still speaking.

Text and sound append. A picture is shown as far as it is drawn, each view superseding the last; a
clip is given when it is whole.
"""

import codecs
from typing import Protocol, runtime_checkable

import numpy as np

from rankspace.codecs.base import Symbols
from rankspace.codecs.image import ImageCodec
from rankspace.codecs.table import AnyCodec
from rankspace.codecs.video import VideoCodec
from rankspace.errors import InvalidInput
from rankspace.generation.request import Encoding, Target
from rankspace.media import encode
from rankspace.media.clip import AUDIO_RATE_HZ, Clip, Pixels
from rankspace.media.sample import Modality

ENCODINGS: dict[Modality, tuple[Encoding, ...]] = {
    "text": ("",),
    "audio": ("wav", "pcm_s16le"),
    "image": ("png",),
    "video": ("mp4", "gif"),
}
"""What each modality may be answered in, the default first."""


@runtime_checkable
class Voice(Protocol):
    """Takes symbols of one answer, gives encoded media."""

    replaces: bool

    def push(self, symbols: Symbols) -> bytes:
        """What can be given now; empty for nothing yet."""

    def finish(self) -> bytes:
        """What was held back."""


def voice(codec: AnyCodec, target: Target) -> tuple[Voice, Encoding]:
    """A voice for this target and the encoding it speaks in."""
    known = ENCODINGS[target.modality]
    encoding = target.encoding or known[0]
    if encoding not in known:
        names = " or ".join(name or "nothing" for name in known)
        raise InvalidInput(f"{target.modality} is answered in {names}", "target.encoding")
    if target.modality == "text":
        return TextVoice(codec), encoding
    if target.modality == "audio":
        return SoundVoice(codec, header=encoding == "wav"), encoding
    if isinstance(codec, ImageCodec):
        return PictureVoice(codec), encoding
    if isinstance(codec, VideoCodec):
        return ClipVoice(codec, encoding), encoding
    raise InvalidInput(f"no voice speaks {target.modality}", "target.modality")


class TextVoice:
    """UTF-8, whole characters at a time; bytes that are none become the replacement character."""

    replaces = False

    def __init__(self, codec: AnyCodec) -> None:
        self._decoder = codec.decoder()
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, symbols: Symbols) -> bytes:
        return self._characters.decode(self._decoder.push(symbols)).encode()

    def finish(self) -> bytes:
        return self._characters.decode(self._decoder.finish(), final=True).encode()


class SoundVoice:
    """PCM at the inside rate, after a header of open length where a file is asked for."""

    replaces = False

    def __init__(self, codec: AnyCodec, header: bool) -> None:
        self._decoder = codec.decoder()
        self._header = encode.wav_header(AUDIO_RATE_HZ, 1) if header else b""

    def push(self, symbols: Symbols) -> bytes:
        return self._out(self._decoder.push(symbols))

    def finish(self) -> bytes:
        return self._out(self._decoder.finish()) or self._header

    def _out(self, samples: np.ndarray) -> bytes:
        if not len(samples):
            return b""
        header, self._header = self._header, b""
        return header + encode.pcm_s16le(samples)


class PictureVoice:
    """PNG of what is drawn so far, on white."""

    replaces = True

    def __init__(self, codec: ImageCodec) -> None:
        self._decoder = codec.decoder()
        self._side = codec.config.side
        self._rows: list[Pixels] = []

    def push(self, symbols: Symbols) -> bytes:
        rows = self._decoder.push(symbols)
        if not len(rows):
            return b""
        self._rows.append(rows)
        return self._picture()

    def finish(self) -> bytes:
        self._decoder.finish()
        return self._picture() if self._rows else b""

    def _picture(self) -> bytes:
        drawn = np.concatenate(self._rows)[: self._side]
        canvas = np.full((self._side, self._side, 3), 255, np.uint8)
        canvas[: len(drawn)] = drawn
        return encode.png(canvas)


class ClipVoice:
    """A whole clip at the end."""

    replaces = True

    def __init__(self, codec: VideoCodec, encoding: Encoding) -> None:
        self._decoder = codec.decoder()
        self._fps = codec.config.fps
        self._encoding = encoding
        self._clips: list[Clip] = []

    def push(self, symbols: Symbols) -> bytes:
        self._clips.append(self._decoder.push(symbols))
        return b""

    def finish(self) -> bytes:
        self._clips.append(self._decoder.finish())
        frames = [frame.pixels for clip in self._clips for frame in clip.frames]
        if not frames:
            return b""
        if self._encoding == "gif":
            return encode.gif(frames, self._fps)
        return encode.mp4(frames, self._fps)
