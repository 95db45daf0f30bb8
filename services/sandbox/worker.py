"""A process that decodes, confined to that; started by `process.py`, which reads what it answers.

Standard input is the socket to the server, standard output the memory shared with it. The process
ends when the other end is closed, when nothing is asked for too long, and at its first fault: it is
cheap to start another one.
"""

import mmap
import os
import select
import sys
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from rankspace.config import parse
from rankspace.errors import InvalidInput
from rankspace.media import decode, encode
from rankspace.media.limits import Limits
from rankspace.media.probe import probe
from rankspace.media.sample import Part
from services.sandbox.config import SandboxConfig
from services.sandbox.confine import allow_seconds, confine, die_with
from services.sandbox.messages import (
    length,
    packed,
    read_parts,
    unpacked,
    write_decoded,
    write_error,
    write_probe,
)

_SOCKET, _MEMORY, _ERRORS = 0, 1, 2


def main() -> None:
    """Answer questions until there are none."""
    setup = _heard()
    die_with(setup["parent"])
    limits = parse(Limits, setup["limits"])
    config = parse(SandboxConfig, setup["config"])
    memory = mmap.mmap(_MEMORY, setup["bytes"])
    _warm()
    nothing = os.open(os.devnull, os.O_RDWR)
    for used in (_MEMORY, _ERRORS):  # from here on nothing that a decoder prints is heard
        os.dup2(nothing, used)
    os.close(nothing)
    _say({"protections": confine(config.memory_bytes_max, setup["parent"])})
    with memoryview(memory) as media:
        while _asked(config.idle_s):
            _say(_answer(_heard(), media, limits, config))


def _answer(
    question: Any, media: memoryview, limits: Limits, config: SandboxConfig
) -> dict[str, Any]:
    parts = read_parts(question["parts"], media)
    if question["task"] == "probe":
        return {"results": [_probed(part, limits, config) for part in parts]}
    allow_seconds(config.decode_s_max)
    return {"results": [_decoded(parts[0], media, limits)]}


def _probed(part: Part, limits: Limits, config: SandboxConfig) -> dict[str, Any]:
    allow_seconds(config.probe_s_max)
    try:
        return write_probe(probe(part, limits))
    except InvalidInput as error:
        return write_error(error)


def _decoded(part: Part, media: memoryview, limits: Limits) -> dict[str, Any]:
    try:
        result, arrays = write_decoded(decode.media(part, limits))
    except InvalidInput as error:
        return write_error(error)
    at = 0
    for array in arrays:
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        media[at : at + len(raw)] = raw.data
        at += len(raw)
    return result


def _warm() -> None:
    """Decode a little of everything, so that nothing is looked for on disk later."""
    wave, pixels = np.zeros(1600, np.float32), np.zeros((16, 16, 3), np.uint8)
    sounds = (encode.wav(wave, 8_000), encode.ogg(wave), encode.flac(wave))
    pictures = (encode.png(pixels), encode.jpeg(pixels), encode.webp(pixels))
    palette = BytesIO()
    Image.new("P", (4, 4)).save(palette, "GIF", transparency=0)
    for data in sounds:
        decode.audio(Part("audio", data), Limits())
    for data in (*pictures, palette.getvalue()):
        decode.image(Part("image", data), Limits())
    decode.video(Part("video", encode.gif([pixels, pixels], 5)), Limits())


def _asked(idle_s: float) -> bool:
    """Wait for a question; False if none comes, or none can any more."""
    waiting = select.poll()
    waiting.register(_SOCKET, select.POLLIN)
    return bool(waiting.poll(idle_s * 1000))


def _heard() -> Any:
    return unpacked(_read(length(_read(4))))


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(_SOCKET, size - len(data))
        if not more:  # the server has gone
            sys.exit()
        data += more
    return data


def _say(message: object) -> None:
    data = packed(message)
    while data:
        data = data[os.write(_SOCKET, data) :]


if __name__ == "__main__":
    main()
