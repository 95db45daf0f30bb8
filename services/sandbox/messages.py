"""What the server and a process that decodes say to each other.

A message is four bytes of length and as many of JSON; media lie in memory that both can see, in the
order in which the message counts them:

    question   {"task": …, "parts": [[modality, encoding, rate_hz, channels, bytes,
               [[time_us, bytes], …]], …]}                        media: as they were sent
               {"task": "heads", "parts": how many}               media: rankspace.media.heads.Heads
    answer     by task
               heads    {"open": [places of parts that have to be looked at whole]}
               probe    {"refused": [[place, error], …]}
               strip    {"refused": […], "changed": [[place, [bytes, …]], …]}
                                                                  media: what was changed
               decode   {"refused": […], "shape": […]}            media: uint8 or float32
                        {"refused": […], "times_us": […], "shape": […], "sound": samples}
                                                                  media: frames, sound
    error      {"reason": "MALFORMED_MEDIA", "message": …, "field": …}

What comes back is believed only as far as it has the right form: whoever wrote the media may have
taken over the process that read them. Nothing in it is ever executed.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankspace.errors import InvalidInput, LimitExceeded, MalformedMedia, UnknownModality
from rankspace.media.clip import Clip, TimedFrame
from rankspace.media.decode import Decoded
from rankspace.media.magic import sniff
from rankspace.media.sample import Frame, Part

MESSAGE_BYTES_MAX = 64 << 20
HEADS_AT_ONCE = 256
"""Parts in one question of which only heads are looked at."""

WORDS_MAX = 300
_LENGTH = struct.Struct("<I")
_ERRORS: Mapping[str, type[InvalidInput]] = {
    kind.reason(): kind for kind in (MalformedMedia, LimitExceeded, UnknownModality)
}
_GROWN_MAX = 64
"""Bytes by which a file may grow when it is stripped: EXIF that has nothing but a turn."""


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


def pieces(part: Part) -> Sequence[bytes]:
    """The media of a part, in the order in which they lie in memory."""
    return [part.data, *(frame.image for frame in part.frames)]


def write_part(part: Part) -> list[Any]:
    """A part without its media."""
    frames = [[frame.time_us, len(frame.image)] for frame in part.frames]
    return [part.modality, part.encoding, part.rate_hz, part.channels, len(part.data), frames]


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


def read_error(result: Any) -> InvalidInput:
    """The refusal."""
    if not isinstance(result, dict):
        raise Nonsense
    kind = _ERRORS.get(str(result.get("reason")))
    message, field = result.get("message"), result.get("field")
    if kind is None or not isinstance(message, str) or not isinstance(field, str):
        raise Nonsense
    if not (message.isprintable() and field.isprintable()) or len(message + field) > WORDS_MAX:
        raise Nonsense
    return kind(message, field)


def read_open(answer: Any, count: int) -> list[int]:
    """Which of so many parts have to be looked at whole."""
    match answer:
        case {"open": [*places]} if all(type(at) is int and 0 <= at < count for at in places):
            return sorted(set(places))
    raise Nonsense


def read_refused(answer: Any, count: int) -> list[InvalidInput | None]:
    """Why each of so many parts is refused."""
    found: list[InvalidInput | None] = [None] * count
    for at, error in _placed(answer, "refused", count):
        found[at] = read_error(error)
    return found


def read_changed(answer: Any, parts: Sequence[Part], media: memoryview) -> list[Part]:
    """The parts with their media as they are in memory now, where they were changed."""
    found, start = list(parts), 0
    for at, sizes in _placed(answer, "changed", len(parts)):
        part = parts[at]
        if type(sizes) is not list or len(sizes) != 1 + len(part.frames):
            raise Nonsense
        anew = []
        for size, piece in zip(sizes, pieces(part), strict=True):
            if type(size) is not int or size > len(piece) + _GROWN_MAX:
                raise Nonsense
            anew.append(bytes(_cut(media, start, size, size)))
            start += size
        times = [frame.time_us for frame in part.frames]
        frames = tuple(Frame(*pair) for pair in zip(times, anew[1:], strict=True))
        found[at] = replace(part, data=anew[0], frames=frames)
        _check_kind(part, found[at])
    return found


def _placed(answer: Any, name: str, count: int) -> list[tuple[int, Any]]:
    """What an answer says of some of so many parts."""
    if not isinstance(answer, dict) or not isinstance(answer.get(name, []), list):
        raise Nonsense
    found = []
    for row in answer.get(name, []):
        match row:
            case [int(at), value] if type(at) is int and 0 <= at < count:
                found.append((at, value))
            case _:
                raise Nonsense
    return found


def _check_kind(before: Part, after: Part) -> None:
    """A file that was stripped is of the kind it was."""
    if any(sniff(a) != sniff(b) for a, b in zip(pieces(before), pieces(after), strict=True)):
        raise Nonsense


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
