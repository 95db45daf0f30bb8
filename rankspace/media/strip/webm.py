"""Films in webm: what is not a picture or a sound becomes Void, in its place.

Elements are named by their position (by cues, for one), so nothing is moved. The walk goes from
element to element and steps into those that hold what is kept, so that lengths left open, as in a
live recording, do no harm. What is inside coded pictures stays.

Source: EBML (RFC 8794) 4 to 6 and 11.3; Matroska (RFC 9559) 5; Vorbis I specification 4.2 and 5.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from rankspace.media.strip.faults import Unsafe

_EBML, _SEGMENT, _INFO, _TRACKS, _CLUSTER = (
    0x1A45DFA3,
    0x18538067,
    0x1549A966,
    0x1654AE6B,
    0x1F43B675,
)
_TRACK, _GROUP, _BLOCK, _SIMPLE = 0xAE, 0xA0, 0xA1, 0xA3
_VOID, _MUXER, _WRITER = 0xEC, 0x4D80, 0x5741
_NUMBER, _KIND, _CODEC, _PRIVATE = 0xD7, 0x83, 0x86, 0x63A2
_ENTERED = frozenset({_SEGMENT, _INFO, _TRACKS, _CLUSTER})
_OPEN = frozenset({_SEGMENT, _CLUSTER})
"""Their length may be left open."""

_KEPT = frozenset(
    {_EBML, 0x114D9B74, 0x1C53BB6B}  # header, where elements are, cues
    | {0x2AD7B1, 0x4489}  # units of time, duration
    | {0xE7, 0xA7, 0xAB}  # of a cluster: time, place, length of the one before
)
_OF_TRACK = frozenset(
    {_NUMBER, _KIND, _CODEC, _PRIVATE, 0x73C5, 0xB9, 0x88, 0x55AA, 0x9C, 0x6DE7, 0x6DF8, 0x23E383}
    | {0x234E7A, 0x23314F, 0x55EE, 0x22B59C, 0x22B59D, 0x56AA, 0x56BB, 0xE0, 0xE1, 0x6D80}
)
_OF_GROUP = frozenset({_BLOCK, 0x9B, 0xFB, 0x75A2, 0xFA, 0xA4})
_PICTURE, _SOUND = 1, 2
_FLAC_HEADER = 42


@dataclass(frozen=True, slots=True)
class _Element:
    """An element: where it is and where its body begins."""

    name: int
    start: int
    body: int
    end: int
    open: bool


def webm(data: bytes) -> bytes:
    """The film without metadata, of the same length."""
    film = _Film(data)
    film.clear()
    return bytes(film.out)


class _Film:
    """One file, cleared in place."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.out = bytearray(data)
        self._kept: set[int] = set()  # numbers of the tracks that stay

    def clear(self) -> None:
        """Do it all."""
        at = 0
        while at < len(self.data):
            element = self._element(at, len(self.data))
            if element.name == _EBML and at:
                raise Unsafe("holds a second film")
            if element.name in _ENTERED:
                at = element.body
                continue
            self._one(element)
            at = element.end
        if not self._kept:
            raise Unsafe("holds neither pictures nor sound")

    def _one(self, element: _Element) -> None:
        if element.open:
            raise Unsafe("leaves a length open where none may be")
        if element.name == _TRACK:
            self._track(element)
        elif element.name in (_SIMPLE, _GROUP):
            self._blocks(element)
        elif element.name in (_VOID, _MUXER, _WRITER):  # the last two must be there
            self.out[element.body : element.end] = bytes(element.end - element.body)
        elif element.name not in _KEPT:
            self._blank(element)

    def _element(self, at: int, end: int) -> _Element:
        name, body, _ = self._number(at, 4, marked=True)
        size, body, unknown = self._number(body, 8)
        if unknown:
            return _Element(name, at, body, end, True)
        if body + size > end:
            raise Unsafe("is cut short, or an element is larger than what it lies in")
        return _Element(name, at, body, body + size, False)

    def _number(self, at: int, longest: int, marked: bool = False) -> tuple[int, int, bool]:
        """A number of one to eight bytes, where it ends, and whether it says "unknown"."""
        size = 9 - self.data[at].bit_length()
        if size > longest or at + size > len(self.data):
            raise Unsafe("is damaged: a number is too long")
        value = int.from_bytes(self.data[at : at + size], "big")
        plain = value & (1 << 7 * size) - 1
        return (value if marked else plain), at + size, plain == (1 << 7 * size) - 1

    def _children(self, parent: _Element) -> Iterator[_Element]:
        at = parent.body
        while at < parent.end:
            element = self._element(at, parent.end)
            if element.open:
                raise Unsafe("leaves a length open where none may be")
            yield element
            at = element.end

    def _blank(self, element: _Element) -> None:
        """Make it Void, of the same length."""
        size = element.end - element.start
        length = bytes([0x80 | size - 2]) if size <= 128 else struct.pack(">Q", 1 << 56 | size - 9)
        head = bytes([_VOID]) + length
        self.out[element.start : element.end] = head.ljust(size, b"\0")

    def _track(self, track: _Element) -> None:
        values = {one.name: self.data[one.body : one.end] for one in self._children(track)}
        number = int.from_bytes(values.get(_NUMBER, b""), "big")
        if int.from_bytes(values.get(_KIND, b""), "big") not in (_PICTURE, _SOUND):
            self._blank(track)
            return
        self._kept.add(number)
        for one in self._children(track):
            if one.name not in _OF_TRACK:
                self._blank(one)
            elif one.name == _PRIVATE:
                self._private(values.get(_CODEC, b"").rstrip(b"\0"), one)

    def _private(self, codec: bytes, element: _Element) -> None:
        """What a decoder is told; that of Vorbis holds comments."""
        if codec == b"A_FLAC" and element.end - element.body > _FLAC_HEADER:
            raise Unsafe("holds flac with tags")
        if codec == b"A_VORBIS":
            start = self._comments(element)
            self._erase(start, element.end)

    def _comments(self, element: _Element) -> int:
        """Where the second of three packets begins; their lengths come first, in steps of 255."""
        at, sizes = element.body + 1, []
        for _ in range(2):
            size = 0
            while self.data[at] == 255:
                size, at = size + 255, at + 1
            sizes.append(size + self.data[at])
            at += 1
        start = at + sizes[0]
        if self.data[element.body] != 2 or self.data[start : start + 7] != b"\x03vorbis":
            raise Unsafe("has no comments where those of Vorbis belong")
        return start + 7

    def _erase(self, at: int, end: int) -> None:
        """Zero the vendor and the comments, and leave their lengths."""
        count = 1
        first = True
        while count:
            (size,) = struct.unpack_from("<I", self.data, at)
            if at + 4 + size > end:
                raise Unsafe("has damaged comments")
            self.out[at + 4 : at + 4 + size] = bytes(size)
            at, count = at + 4 + size, count - 1
            if first:
                first = False
                (count,) = struct.unpack_from("<I", self.data, at)
                at += 4

    def _blocks(self, element: _Element) -> None:
        """Blank blocks of tracks that went, and what comes beside a block."""
        if element.name == _SIMPLE:
            if self._number(element.body, 8)[0] not in self._kept:
                self._blank(element)
            return
        children = list(self._children(element))
        tracks = {self._number(one.body, 8)[0] for one in children if one.name == _BLOCK}
        if not tracks <= self._kept:
            self._blank(element)
            return
        for one in children:
            if one.name not in _OF_GROUP:
                self._blank(one)
