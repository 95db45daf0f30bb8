"""Video as timed pictures: a mark for the time since the picture before, then that picture.

Frames are thinned to at most `fps` a second, and each is coded as a picture by the image codec. The
time since the last frame kept is one of 16 marks, even on a log scale from one period up, and
measured from where the decoder will put that frame, so errors never add up. Sound, if the codec has
a sound half, comes in groups of 40 ms after the frame that each starts under.

    message = (mark picture sound*)*,   mark 0: the first frame,   mark m: period · 2^((m - 1) / 2)

One alphabet holds all three, marks then tiles then sound; `layout` says where each lies, so that a
vocabulary can share the tiles with pictures and the sound with sounds. Lost: frames beyond the
rate, times between the marks, and what the image and audio codecs lose.

Shapes: pieces are `Clip`s; symbols int32 [frames · (1 + image.cycle) + sound].
Frames leave the decoder with their last symbol. With a sound half the encoder holds frames until
the sound before them is in.
"""

from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydantic import Field

from rankspace.codecs import files
from rankspace.codecs.audio import GROUP, AudioCodec
from rankspace.codecs.base import AUDIO_RATE_HZ, Symbols, TimedFrame
from rankspace.codecs.image import ImageCodec
from rankspace.codecs.quantiser import Floats
from rankspace.config import Config, parse
from rankspace.errors import MalformedMedia
from rankspace.media.clip import Clip
from rankspace.media.sample import Modality

MARKS = 16
GROUP_US = GROUP * 1_000_000 // AUDIO_RATE_HZ
EARLY = 0.1  # of a period: a frame that little before its time is on time


class VideoConfig(Config):
    """The rate of frames."""

    fps: float = Field(default=2.0, gt=0, le=60)
    """Frames kept a second, at most."""

    @property
    def period_us(self) -> float:
        return 1_000_000 / self.fps

    def gap_us(self, mark: int) -> int:
        """The time that a mark stands for."""
        return round(self.period_us * 2 ** ((max(mark, 1) - 1) / 2))

    def mark(self, gap_us: int) -> int:
        """The mark nearest to a time, on the log scale."""
        nearest = 1 + round(2 * np.log2(max(gap_us, 1) / self.period_us))
        return int(np.clip(nearest, 1, MARKS - 1))


class VideoCodec:
    """Clips to symbols and back."""

    name: Modality = "video"

    def __init__(
        self, config: VideoConfig, image: ImageCodec, audio: AudioCodec | None = None
    ) -> None:
        self.config = config
        self.image = image
        self.audio = audio
        self.layout = (("video", MARKS), *image.layout, *(audio.layout if audio else ()))
        self.size = sum(size for _, size in self.layout)
        self.sound = MARKS + image.size  # the first symbol of sound
        self.cycle = 0 if audio else 1 + image.cycle
        self.slots = (range(self.size),) if audio else (range(MARKS), *_shifted(image))

    @classmethod
    def fit(
        cls,
        media: Iterable[Clip],
        config: VideoConfig | None = None,
        image: ImageCodec | None = None,
        audio: AudioCodec | None = None,
    ) -> "VideoCodec":
        """Compose the codecs given; without an image codec, learn one from the frames."""
        pictures = image or ImageCodec.fit(frame.pixels for clip in media for frame in clip.frames)
        return cls(config or VideoConfig(), pictures, audio)

    @property
    def features(self) -> Floats:
        """[size, 1 + F]: the logarithm of a mark's time; a tile's own; a sound's own."""
        parts = [np.linspace(-1.7, 1.7, MARKS, dtype=np.float32)[:, None], self.image.features]
        if self.audio:
            parts.append(self.audio.features)
        table = np.zeros((self.size, sum(part.shape[1] for part in parts)), np.float32)
        row = column = 0
        for part in parts:
            table[row : row + len(part), column : column + part.shape[1]] = part
            row, column = row + len(part), column + part.shape[1]
        return table

    @property
    def hash(self) -> str:
        """A name for this very codec, for caches."""
        halves = [half.hash for half in (self.image, self.audio) if half]
        return files.digest({**self._settings(), "halves": halves}, {})

    def encoder(self) -> "Encoder":
        return Encoder(self)

    def decoder(self) -> "Decoder":
        return Decoder(self)

    def save(self, folder: Path) -> None:
        files.write(folder, self.name, self._settings(), {})
        for half in (self.image, self.audio):
            if half:
                half.save(folder / self.name)

    @classmethod
    def load(cls, folder: Path) -> "VideoCodec":
        settings, _ = files.read(folder, cls.name)
        own = folder / cls.name
        audio = AudioCodec.load(own) if settings["sound"] else None
        return cls(parse(VideoConfig, settings["config"]), ImageCodec.load(own), audio)

    def _settings(self) -> dict[str, object]:
        return {"config": self.config.model_dump(), "sound": self.audio is not None}


class Encoder:
    """Frames and sound cut anywhere, each in order of time."""

    def __init__(self, codec: VideoCodec) -> None:
        self._codec = codec
        self._waiting: deque[tuple[int, Symbols]] = deque()  # when, and mark and tiles
        self._groups: deque[Symbols] = deque()
        self._sound = codec.audio.encoder() if codec.audio else None
        self._sound_us = 0  # where the next group starts
        self._first_us = self._last_us = self._clock_us = -1

    def push(self, piece: Clip, /) -> Symbols:
        for frame in piece.frames:
            self._frame(frame)
        if self._sound:
            self._hear(self._sound.push(piece.audio))
        return self._settled(ended=self._sound is None)

    def finish(self) -> Symbols:
        if self._sound:
            self._hear(self._sound.finish())
        if self._groups and self._first_us < 0:
            raise MalformedMedia("a video must have at least one frame; this one has only sound")
        return self._settled(ended=True)

    def _frame(self, frame: TimedFrame) -> None:
        if frame.time_us < max(self._last_us, 0):
            raise MalformedMedia("frames must come in order of time, from zero on")
        config, first = self._codec.config, self._first_us < 0
        self._last_us = frame.time_us
        if first:
            self._first_us, self._clock_us = frame.time_us, 0
        gap_us = frame.time_us - self._first_us - self._clock_us
        if not first and gap_us < config.period_us * (1 - EARLY):
            return
        mark = 0 if first else config.mark(gap_us)
        self._clock_us += 0 if first else config.gap_us(mark)
        image = self._codec.image
        tiles = image.encode_many(image.canvas(frame.pixels)[None])[0] + MARKS
        self._waiting.append((self._clock_us, np.concatenate([[mark], tiles]).astype(np.int32)))

    def _hear(self, symbols: Symbols) -> None:
        self._groups.extend(symbols.reshape(-1, 2) + self._codec.sound)

    def _settled(self, ended: bool) -> Symbols:
        """All whose order can no longer change: a group goes before the frame it starts under."""
        found = [np.zeros(0, np.int32)]
        while self._waiting or (ended and self._groups):
            frame_is_next = self._waiting and self._waiting[0][0] <= self._sound_us
            if frame_is_next or (ended and not self._groups):
                found.append(self._waiting.popleft()[1])
            elif self._groups:
                found.append(self._groups.popleft())
                self._sound_us += GROUP_US
            else:
                break
        return np.concatenate(found)


class Decoder:
    """Symbols cut anywhere; a frame comes with its last symbol, sound 12.5 ms late."""

    def __init__(self, codec: VideoCodec) -> None:
        self._codec = codec
        self._time_us = -1
        self._tiles: list[int] | None = None  # of the picture being read
        self._sound = codec.audio.decoder() if codec.audio else None

    def push(self, piece: Symbols, /) -> Clip:
        frames: list[TimedFrame] = []
        sound: list[int] = []
        for symbol in piece.tolist():
            if self._tiles is not None:
                frames.extend(self._tile(self._tiles, symbol))
            elif 0 <= symbol < MARKS:
                gap_us = self._codec.config.gap_us(symbol)
                self._time_us = 0 if self._time_us < 0 else self._time_us + gap_us
                self._tiles = []
            elif self._time_us >= 0 and self._codec.sound <= symbol < self._codec.size:
                sound.append(symbol - self._codec.sound)
            else:
                raise MalformedMedia(f"a frame of video starts with a mark in [0, {MARKS})")
        if self._sound is None:
            return Clip(tuple(frames))
        return Clip(tuple(frames), self._sound.push(np.array(sound, np.int32)))

    def finish(self) -> Clip:
        """The last of the sound. A frame that stops midway is malformed."""
        if self._tiles is not None:
            raise MalformedMedia(f"a frame has {self._codec.image.cycle} tiles; the last has fewer")
        return Clip((), self._sound.finish()) if self._sound else Clip(())

    def _tile(self, tiles: list[int], symbol: int) -> list[TimedFrame]:
        """The next symbol of a picture; the frame once it is complete."""
        image = self._codec.image
        if not MARKS <= symbol < MARKS + image.size:
            raise MalformedMedia(f"a tile must lie in [{MARKS}, {MARKS + image.size})")
        tiles.append(symbol - MARKS)
        if len(tiles) < image.cycle:
            return []
        pixels = image.decode_many(np.array([tiles], np.int32))[0]
        self._tiles = None
        return [TimedFrame(self._time_us, pixels)]


def _shifted(image: ImageCodec) -> tuple[range, ...]:
    """The slots of a picture, behind the marks."""
    slots = tuple(range(slot.start + MARKS, slot.stop + MARKS) for slot in image.slots)
    return slots * (image.cycle // len(slots))
