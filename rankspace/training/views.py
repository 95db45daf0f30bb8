"""One sample to rows of symbols: as it was sent, and in other views.

A view alters every part that it can at once, so the parts of a row still belong together.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from rankspace.codecs.audio import AudioCodec, mel
from rankspace.codecs.base import Symbols, encode
from rankspace.codecs.canvas import canvas
from rankspace.codecs.image import ImageCodec
from rankspace.codecs.table import AnyCodec
from rankspace.codecs.video import VideoCodec
from rankspace.errors import UnknownModality
from rankspace.media.clip import Clip, TimedFrame
from rankspace.media.decode import Decode, Decoded
from rankspace.media.sample import Modality, Sample
from rankspace.store.tokens import TokenPart, TokenSample
from rankspace.training import augment


class Viewer:
    """Makes rows; the same sample at the same seed always gives the same ones."""

    def __init__(self, codecs: Mapping[Modality, AnyCodec], seed: int, decode: Decode) -> None:
        self._codecs = codecs
        self._seed = seed
        self._decode = decode

    def rows(self, stream: str, offset: int, sample: Sample, views: int) -> list[TokenSample]:
        """The plain row first, then `views` others; parts that cannot be decoded raise."""
        generator = torch.Generator().manual_seed(self._draw(stream, offset))
        split = sample.labels.get("split") or "train"
        parts = [(part, self._decode(part)) for part in sample.parts]
        columns = [self._symbols(part.modality, found, views, generator) for part, found in parts]
        kinds = [(part.modality, part.role) for part in sample.parts]
        plain = split if split == "valid" or not views else "known"
        return [
            TokenSample(
                stream,
                offset,
                plain if view == 0 else "train",
                tuple(
                    TokenPart(modality, role, column[view])
                    for (modality, role), column in zip(kinds, columns, strict=True)
                ),
            )
            for view in range(views + 1)
        ]

    def _draw(self, stream: str, offset: int) -> int:
        digest = hashlib.sha256(f"{self._seed}/{stream}/{offset}".encode()).digest()
        return int.from_bytes(digest[:7], "big")

    def _symbols(
        self, modality: Modality, found: Decoded, views: int, generator: torch.Generator
    ) -> Sequence[Symbols]:
        """[views + 1] messages."""
        codec = self._codecs.get(modality)
        if codec is None:  # it only occurs where codecs do not learn: held out, or late in a stream
            raise UnknownModality(f"no codec has learnt {modality}", "modality")
        plain = encode(codec, [found])
        if not views:
            return [plain]
        if isinstance(codec, VideoCodec) and isinstance(found, Clip):
            seen = _clips(found, codec, views, generator)
            return [plain, *(encode(codec, [clip]) for clip in seen)]
        if isinstance(codec, ImageCodec) and isinstance(found, np.ndarray):
            square = codec.canvas(found.astype(np.uint8, copy=False))[None]
            return [plain, *codec.encode_many(augment.pictures(square, views, generator)[:, 0])]
        if isinstance(codec, AudioCodec) and isinstance(found, np.ndarray):
            heard = augment.sounds(mel(found.astype(np.float32, copy=False)), views, generator)
            return [plain, *(codec.quantise(each) for each in heard)]
        return [plain] * (views + 1)


def _clips(clip: Clip, codec: VideoCodec, views: int, generator: torch.Generator) -> list[Clip]:
    """Other views of a clip; all frames of one are bent alike."""
    side = codec.image.config.side
    frames = np.stack([canvas(frame.pixels, side) for frame in clip.frames])
    times = [frame.time_us for frame in clip.frames]
    return [
        Clip(tuple(TimedFrame(*pair) for pair in zip(times, view, strict=True)), clip.audio)
        for view in augment.pictures(frames, views, generator)
    ]
