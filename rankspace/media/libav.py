"""The one door to FFmpeg: bytes in memory only, one named container, a short list of decoders.

FFmpeg can follow references out of a file (playlists, external tracks) and guess exotic formats;
here it can do neither. It stays silent: PyAV drops its log unless asked otherwise.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from types import MappingProxyType
from typing import NoReturn

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Stream
from numpy.typing import NDArray

from rankspace.errors import MalformedMedia

CONTAINERS: Mapping[str, str] = MappingProxyType(
    {"mp3": "mp3", "opus": "ogg", "flac": "flac", "mp4": "mp4", "webm": "matroska", "gif": "gif"}
)
DECODERS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "gif"}
    | {"aac", "mp3", "mp3float", "opus", "vorbis", "flac", "pcm_s16le"}
)


def _refuse(*_: object) -> NoReturn:
    raise MalformedMedia("the file refers to another file; send one that is whole", "data")


@contextmanager
def opened(data: bytes, encoding: str, pixels_max: int = 1) -> Iterator[InputContainer]:
    """The container in these bytes; whatever FFmpeg raises inside becomes MalformedMedia."""
    options = {
        "protocol_whitelist": "none",
        "codec_whitelist": ",".join(sorted(DECODERS)),
        "max_pixels": str(pixels_max),
        "max_streams": "16",
        "err_detect": "explode",
    }
    try:
        with av.open(
            BytesIO(data),
            mode="r",
            format=CONTAINERS[encoding],
            options=options,
            metadata_errors="ignore",
            io_open=_refuse,
        ) as container:
            yield container
    except FFmpegError as error:
        raise MalformedMedia(f"the {encoding} is damaged or cut short", "data") from error


def codec(stream: Stream) -> str:
    """The name of the stream's decoder; "" when there is none."""
    context: CodecContext | None = stream.codec_context
    return "" if context is None else context.name


def planes(frame: AudioFrame, rate_hz: int, channels: int) -> NDArray[np.float32]:
    """The samples of a frame, [N, C], as floats within [-1, 1]; its shape must be as before."""
    if (frame.sample_rate, frame.layout.nb_channels) != (rate_hz, channels):
        raise MalformedMedia("the sound changes its sample rate or channels midway", "data")
    values = frame.to_ndarray()  # [C, N] or [1, N·C]
    steps = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if values.dtype.kind == "f":
        return steps.astype(np.float32, copy=False)
    middle = 128 if values.dtype.kind == "u" else 0
    scale = np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
    return (steps.astype(np.float32) - np.float32(middle)) / scale
