"""What the server and a process that decodes say to each other.

A message is four bytes of length and as many of JSON; media lie in memory that both can see, in the
order in which the message counts them:

    question   {"task": "probe" | "decode", "parts": [[modality, encoding, rate_hz, channels, bytes,
               [[time_us, bytes], …]], …]}                                 media: as they were sent
    answer     {"results": […]}, for each part
               probe    {"found": [encoding, seconds, width, height, frames, samples, bytes]}
               decode   {"shape": […]}                                     media: uint8 or float32
                        {"times_us": […], "shape": […], "sound": samples}  media: frames, sound
               error    {"reason": "MALFORMED_MEDIA", "message": …, "field": …}

What comes back is believed only as far as it has the right form: whoever wrote the media may have
taken over the process that read them. Nothing in it is ever executed.
"""

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankspace.errors import InvalidInput, LimitExceeded, MalformedMedia, UnknownModality
from rankspace.media.clip import Clip, Probe, TimedFrame
from rankspace.media.decode import Decoded
from rankspace.media.magic import ENCODINGS
from rankspace.media.sample import Frame, Part

MESSAGE_BYTES_MAX = 64 << 20
WORDS_MAX = 300
_LENGTH = struct.Struct("<I")
_ERRORS: Mapping[str, type[InvalidInput]] = {
    kind.reason(): kind for kind in (MalformedMedia, LimitExceeded, UnknownModality)
}
_FOUND = ("seconds", "width", "height", "frames", "samples", "decoded_bytes")


class Nonsense(Exception):
    """A process has answered what none of ours would."""


def packed(message: object) -> bytes:
    """A message as it goes over the socket."""
    text = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text


def length(head: bytes) -> int:
    """How many bytes follow these four."""
    (size,) = _LENGTH.unpack(head)
    if size > MESSAGE_BYTES_MAX:
        raise Nonsense
    return int(size)


def unpacked(text: bytes) -> Any:
    """The message in these bytes."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Nonsense from error


def pieces(part: Part) -> Iterable[bytes]:
    """The media of a part, in the order in which they lie in memory."""
    return [part.data, *(frame.image for frame in part.frames)]


def write_part(part: Part) -> list[Any]:
    """A part without its media."""
    frames = [[frame.time_us, len(frame.image)] for frame in part.frames]
    raw = [part.modality, part.encoding, part.rate_hz, part.channels, len(part.data)]
    return [*raw, frames]


def read_parts(rows: Sequence[Any], media: memoryview) -> list[Part]:
    """The parts, their media cut out of memory."""
    at = 0

    def cut(size: int) -> bytes:
        nonlocal at
        at += size
        return bytes(media[at - size : at])

    parts = []
    for modality, encoding, rate_hz, channels, size, frames in rows:
        data = cut(size)
        images = tuple(Frame(time_us, cut(bytes_)) for time_us, bytes_ in frames)
        parts.append(Part(modality, data, encoding, "", rate_hz, channels, images))
    return parts


def write_error(error: InvalidInput) -> dict[str, Any]:
    """A refusal."""
    return {"reason": error.reason(), "message": error.message, "field": error.field}


def read_error(result: Any) -> InvalidInput | None:
    """The refusal, if the result is one."""
    if not isinstance(result, dict):
        raise Nonsense
    if "reason" not in result:
        return None
    kind = _ERRORS.get(str(result["reason"]))
    message, field = result.get("message"), result.get("field")
    if kind is None or not isinstance(message, str) or not isinstance(field, str):
        raise Nonsense
    if not (message.isprintable() and field.isprintable()) or len(message + field) > WORDS_MAX:
        raise Nonsense
    return kind(message, field)


def write_probe(probe: Probe) -> dict[str, Any]:
    """What a header says."""
    return {"found": [probe.encoding, *(getattr(probe, name) for name in _FOUND)]}


def read_probe(result: Any, part: Part) -> Probe:
    """The same; the numbers are finite and not negative."""
    match result:
        case {"found": [str(encoding), float(seconds) | int(seconds), *counts]}:
            numbers = [seconds, *counts]
        case _:
            raise Nonsense
    if encoding not in ENCODINGS[part.modality] or len(numbers) != len(_FOUND):
        raise Nonsense
    if not all(type(count) is int for count in counts) or not isfinite(seconds):
        raise Nonsense
    if min(numbers) < 0:
        raise Nonsense
    return Probe(part.modality, encoding, float(seconds), *counts)


def write_decoded(found: Decoded) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """What was decoded, and the arrays that go into memory."""
    if isinstance(found, Clip):
        times = [frame.time_us for frame in found.frames]
        shape = list(found.frames[0].pixels.shape)
        arrays: list[NDArray[Any]] = [*(frame.pixels for frame in found.frames), found.audio]
        return {"times_us": times, "shape": shape, "sound": len(found.audio)}, arrays
    if isinstance(found, bytes):
        raise TypeError("text is decoded where it is")
    return {"shape": list(found.shape)}, [found]


def read_decoded(result: Any, part: Part, media: memoryview) -> Decoded:
    """The same, copied out of memory."""
    match part.modality, result:
        case "audio", {"shape": [int(samples)]}:
            return _sound(media, 0, samples)
        case "image", {"shape": [int(height), int(width), 3]}:
            return _pixels(media, 0, (1, height, width, 3))[0]
        case "video", {
            "times_us": [0, *_] as times,
            "shape": [int(height), int(width), 3],
            "sound": int(samples),
        }:
            if not all(type(time) is int for time in times):
                raise Nonsense
            pixels = _pixels(media, 0, (len(times), height, width, 3))
            frames = tuple(TimedFrame(*pair) for pair in zip(times, pixels, strict=True))
            return Clip(frames, _sound(media, pixels.nbytes, samples))
    raise Nonsense


def _pixels(media: memoryview, at: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.frombuffer(_cut(media, at, prod(shape), min(shape)), np.uint8).reshape(shape).copy()


def _sound(media: memoryview, at: int, samples: int) -> NDArray[np.float32]:
    wave = np.frombuffer(_cut(media, at, 4 * samples, samples), np.float32).copy()
    if not np.isfinite(wave).all():
        raise Nonsense
    return wave


def _cut(media: memoryview, at: int, size: int, least: int) -> memoryview:
    if least < 0 or at + size > len(media):
        raise Nonsense
    return media[at : at + size]
