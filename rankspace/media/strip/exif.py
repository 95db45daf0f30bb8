"""The one thing that EXIF says of the pixels: which way is up.

Source: EXIF 2.3, 4.5 and 4.6 (a TIFF header, then directories of twelve-byte entries).
"""

import struct

MARK = b"Exif\0\0"
_ORIENTATION = 0x0112
_SHORT = 3
_TURNS = range(1, 9)


def orientation(exif: bytes) -> int:
    """1 to 8; 1 (upright) where EXIF is missing or broken, for it is only decoration."""
    tiff = exif.removeprefix(MARK)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, value = struct.unpack_from(order + "H6xH", tiff, at)
            if tag == _ORIENTATION:
                return value if value in _TURNS else 1
    except struct.error:
        return 1
    return 1


def turned(turn: int) -> bytes:
    """EXIF that says this and nothing else; b"" for 1."""
    if turn == 1:
        return b""
    entry = struct.pack(">HHIHH", _ORIENTATION, _SHORT, 1, turn, 0)
    return MARK + b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
