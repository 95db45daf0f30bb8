"""A process that decodes, confined to that; started by `process.py`, which reads what it answers.

Standard input is the socket to the server, standard output the memory shared with it. The process
ends when the other end is closed, when nothing is asked for too long, and at its first fault: it is
cheap to start another one.
"""

import gc
import mmap
import os
import select
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rankspace.config import parse
from rankspace.errors import InvalidInput
from rankspace.media import decode, encode
from rankspace.media.heads import untold
from rankspace.media.limits import Limits
from rankspace.media.probe import probe
from rankspace.media.sample import Part
from rankspace.media.strip.whole import strip
from services.sandbox.config import SandboxConfig
from services.sandbox.confine import allow_seconds, confine, die_with
from services.sandbox.messages import (
    length,
    packed,
    pieces,
    read_parts,
    unpacked,
    write_decoded,
    write_error,
)

_SOCKET, _MEMORY, _ERRORS = 0, 1, 2
_AT_ONCE = 1 << 18
"""Bytes of a message that are read in one call."""

Said = tuple[dict[str, Any], list[NDArray[Any]]]
"""What an answer says, and what goes into memory."""


def main() -> None:
    """Answer questions until there are none."""
    setup = _heard()
    die_with(setup["parent"])
    limits = parse(Limits, setup["limits"])
    config = parse(SandboxConfig, setup["config"])
    memory = mmap.mmap(_MEMORY, setup["bytes"])
    _stand_back()
    _warm()
    nothing = os.open(os.devnull, os.O_RDWR)
    for used in (_MEMORY, _ERRORS):  # from here on nothing that a decoder prints is heard
        os.dup2(nothing, used)
    os.close(nothing)
    gc.freeze()  # what is there stays: looking through it again and again finds nothing
    _say({"protections": confine(config.memory_bytes_max, setup["parent"])})
    with memoryview(memory) as media:
        while _asked(config.idle_s):
            _say(_answer(_heard(), media, limits, config))


def _answer(
    question: Any, media: memoryview, limits: Limits, config: SandboxConfig
) -> dict[str, Any]:
    task = question["task"]
    if task == "heads":
        allow_seconds(config.probe_s_max)
        return {"open": untold(question["parts"], media, limits)}
    parts = read_parts(question["parts"], media)
    written: dict[str, Any] = {"refused": [], "changed": []} if task == "strip" else {"refused": []}
    end = 0
    for at, part in enumerate(parts):
        allow_seconds(config.decode_s_max if task == "decode" else config.probe_s_max)
        try:
            said, arrays = _TASKS[task](part, limits)
        except InvalidInput as error:
            written["refused"].append([at, write_error(error)])
            continue
        end = _laid(arrays, media, end)
        if task == "strip" and said:
            written["changed"].append([at, said["sizes"]])
        elif task == "decode":
            written |= said
    return written


def _probed(part: Part, limits: Limits) -> Said:
    probe(part, limits)
    return {}, []


def _stripped(part: Part, limits: Limits) -> Said:
    probe(part, limits)
    bare = strip(part)
    if bare is part:
        return {}, []
    files = pieces(bare)
    return {"sizes": [len(file) for file in files]}, [
        np.frombuffer(file, np.uint8) for file in files
    ]


def _decoded(part: Part, limits: Limits) -> Said:
    return write_decoded(decode.media(part, limits))


_TASKS: Mapping[str, Callable[[Part, Limits], Said]] = MappingProxyType(
    {"probe": _probed, "strip": _stripped, "decode": _decoded}
)


def _laid(arrays: Iterable[NDArray[Any]], media: memoryview, at: int) -> int:
    """Put arrays into memory from here on; where they end."""
    for array in arrays:
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        media[at : at + len(raw)] = raw.data
        at += len(raw)
    return at


def _stand_back() -> None:
    """Wake up without pushing whoever asks off its core; it has more to ask."""
    if sys.platform == "linux":
        with suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _warm() -> None:
    """Decode a little of everything, so that nothing is looked for on disk later."""
    wave, pixels = np.zeros(1600, np.float32), np.zeros((16, 16, 3), np.uint8)
    sounds = (encode.wav(wave, 8_000), encode.ogg(wave), encode.flac(wave))
    pictures = (encode.png(pixels), encode.jpeg(pixels), encode.webp(pixels))
    palette = BytesIO()
    Image.new("P", (4, 4)).save(palette, "GIF", transparency=0)
    for data in sounds:
        decode.audio(strip(Part("audio", data)), Limits())
    for data in (*pictures, palette.getvalue()):
        decode.image(Part("image", data), Limits())
    decode.video(Part("video", encode.gif([pixels, pixels], 5)), Limits())


def _asked(idle_s: float) -> bool:
    """Wait for a question; False if none comes, or none can any more."""
    waiting = select.poll()
    waiting.register(_SOCKET, select.POLLIN)
    return bool(waiting.poll(idle_s * 1000))


def _heard() -> Any:
    """One message; the server asks nothing more before it is answered."""
    data = b""
    while len(data) < 4 or len(data) < 4 + length(data[:4]):
        more = os.read(_SOCKET, _AT_ONCE)
        if not more:  # the server has gone
            sys.exit()
        data += more
    return unpacked(data[4:])


def _say(message: object) -> None:
    data = packed(message)
    while data:
        data = data[os.write(_SOCKET, data) :]


if __name__ == "__main__":
    main()
