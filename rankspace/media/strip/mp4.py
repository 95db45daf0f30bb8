"""Films in mp4 and QuickTime: what is not a picture or a sound becomes empty, in its place.

Samples are found by their positions in the file, so nothing is moved: a box that does not belong to
pictures or sound becomes `free` and its bytes zero, and so does whatever lies beside the samples:
user data, tags, times, names, tracks of text, places and timecode with all they hold. What is
inside coded pictures stays.

Source: ISO/IEC 14496-12, 4.2 and 8; QuickTime File Format (2016), "Movie Atoms".
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from rankspace.media.strip.faults import Unsafe

_TREE: Mapping[bytes, frozenset[bytes]] = MappingProxyType(
    {
        parent: frozenset(children.split())
        for parent, children in {
            b"": b"ftyp styp sidx moov moof mfra mdat",
            b"moov": b"mvhd trak mvex",
            b"trak": b"tkhd edts mdia",
            b"edts": b"elst",
            b"mdia": b"mdhd hdlr minf",
            b"minf": b"vmhd smhd dinf stbl",
            b"dinf": b"dref",
            b"stbl": b"stsd stts ctts cslg stsc stsz stco co64 stss stps sdtp sbgp sgpd",
            b"mvex": b"mehd trex",
            b"moof": b"mfhd traf",
            b"traf": b"tfhd tfdt trun sbgp sgpd sdtp",
        }.items()
    }
)
_BESIDE = frozenset(b"free skip wide udta meta uuid emsg prft pdin ssix".split())
_CODEC_BOXES = frozenset(
    b"avcC hvcC vpcC av1C esds dOps dac3 dec3 alac wave chan colr pasp btrt clap fiel".split()
)
_PICTURE, _SOUND = b"vide", b"soun"
_NAMED_BYTES = slice(42, 74)
"""In a picture's sample entry: who made the encoder."""


@dataclass(frozen=True, slots=True)
class _Box:
    """A box: where it is and where its body begins."""

    name: bytes
    start: int
    body: int
    end: int


def mp4(data: bytes) -> bytes:
    """The film without metadata, of the same length."""
    film = _Film(data)
    film.clear()
    return bytes(film.out)


class _Film:
    """One file, cleared in place."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.out = bytearray(data)
        self._kept: list[NDArray[np.int64]] = []  # [n, 2], where samples begin and end
        self._pictures: list[_Box] = []  # tracks

    def clear(self) -> None:
        """Do it all."""
        top = list(self._boxes(0, len(self.data)))
        moov = next((box for box in top if box.name == b"moov"), None)
        if moov is None:
            raise Unsafe("holds no description of its tracks")
        for box in top:
            if box.name == b"moov" and box is not moov:
                self._blank(box)
        pieces = any(box.name == b"moof" for box in top)
        dropped = self._drop_tracks(moov)
        if pieces and dropped:
            raise Unsafe("comes in fragments and has tracks that are neither pictures nor sound")
        if pieces and any(box.name not in _TREE[b""] | _BESIDE for box in top):
            raise Unsafe("comes in fragments and has boxes of an unknown kind")
        self._walk(b"", _Box(b"", 0, 0, len(self.data)))
        if not pieces:
            self._clear_data([box for box in top if box.name == b"mdat"])

    def _boxes(self, at: int, end: int) -> Iterator[_Box]:
        """The boxes from here to there; a few bytes may be left over."""
        while at + 8 <= end:
            size, name = struct.unpack_from(">I4s", self.data, at)
            head = 8
            if size == 1:
                head = 16
                (size,) = struct.unpack_from(">Q", self.data, at + 8)
            size = size or end - at
            if size < head or at + size > end:
                raise Unsafe("is cut short, or a box is larger than what it lies in")
            yield _Box(name, at, at + head, at + size)
            at += size

    def _walk(self, parent: bytes, place: _Box) -> None:
        """Blank the children that do not belong; look into the others."""
        at = place.body
        for box in self._boxes(place.body, place.end):
            at = box.end
            if bytes(self.out[box.start + 4 : box.start + 8]) == b"free":  # blanked before
                self._blank(box)
            elif box.name not in _TREE[parent]:
                self._check_loss(parent, box)
                self._blank(box)
            elif box.name in _TREE:
                self._walk(box.name, box)
            else:
                self._leaf(box)
        self.out[at : place.end] = bytes(place.end - at)

    def _check_loss(self, parent: bytes, box: _Box) -> None:
        """Refuse what pictures or sound depend on though it looks like metadata."""
        body = self.data[box.body : box.end]
        if b"iTunSMPB" in body:
            raise Unsafe("tells in a tag where its sound begins")
        if not parent and box.name == b"meta" and b"iloc" in body:
            raise Unsafe("holds a still picture")
        if parent == b"moov" and box.name in (b"cmov", b"rmra"):
            raise Unsafe("has its tracks compressed or elsewhere")

    def _blank(self, box: _Box) -> None:
        self.out[box.start + 4 : box.start + 8] = b"free"
        self._zero(box.body, box.end)

    def _zero(self, start: int, end: int) -> None:
        self.out[start:end] = bytes(max(0, end - start))

    def _leaf(self, box: _Box) -> None:
        if box.name in (b"mvhd", b"tkhd", b"mdhd"):  # when it was made and changed
            size = 16 if self.data[box.body] else 8
            self._zero(box.body + 4, min(box.body + 4 + size, box.end))
        elif box.name == b"hdlr":
            self._zero(min(box.body + 12, box.end), box.end)
        elif box.name == b"dref":
            self._references(box)
        elif box.name == b"stsd":
            self._codecs(box)

    def _references(self, box: _Box) -> None:
        for entry in self._boxes(box.body + 8, box.end):
            if not self.data[entry.body + 3] & 1:
                raise Unsafe("refers to another file")
            self._zero(entry.body + 4, entry.end)

    def _codecs(self, box: _Box) -> None:
        """What decoders need stays; the names of their makers go."""
        for entry in self._boxes(box.body + 8, box.end):
            self._zero(entry.body + 12, entry.body + 16)  # the vendor
            version = int.from_bytes(self.data[entry.body + 8 : entry.body + 10], "big")
            size = {0: 28, 1: 44, 2: 64}.get(version, 28)
            if self._entry_is_picture(entry):
                size = 78
                names = _NAMED_BYTES.indices(size)
                self._zero(entry.body + names[0], entry.body + names[1])
            for child in self._boxes(entry.body + size, entry.end):
                if child.name not in _CODEC_BOXES:
                    self._check_loss(b"stsd", child)
                    self._blank(child)

    def _entry_is_picture(self, entry: _Box) -> bool:
        return any(track.start < entry.start < track.end for track in self._pictures)

    def _drop_tracks(self, moov: _Box) -> int:
        """Blank the tracks that are neither pictures nor sound; remember the others' samples."""
        dropped = 0
        for track in self._boxes(moov.body, moov.end):
            if track.name != b"trak":
                continue
            kind = self._kind(track)
            if kind in (_PICTURE, _SOUND):
                self._kept.append(self._ranges(track, kind))
            else:
                self._blank(track)
                dropped += 1
            if kind == _PICTURE:
                self._pictures.append(track)
        if not self._kept:
            raise Unsafe("holds neither pictures nor sound")
        return dropped

    def _kind(self, track: _Box) -> bytes:
        handler = self._inside(track, b"mdia", b"hdlr")
        return self.data[handler.body + 8 : handler.body + 12]

    def _inside(self, box: _Box, *names: bytes) -> _Box:
        """The box that lies there."""
        for name in names:
            found = [one for one in self._boxes(box.body, box.end) if one.name == name]
            if len(found) != 1:
                raise Unsafe(f"has a track with {len(found)} boxes {name.decode()}")
            box = found[0]
        return box

    def _ranges(self, track: _Box, kind: bytes) -> NDArray[np.int64]:
        """Where the chunks of a track lie: [chunks, 2]."""
        table = self._inside(track, b"mdia", b"minf", b"stbl")
        names = {box.name for box in self._boxes(table.body, table.end)}
        wide = b"co64" in names
        offsets = self._column(self._inside(table, b"co64" if wide else b"stco"), 1, wide)[:, 0]
        runs = self._column(self._inside(table, b"stsc"), 3)
        ends = np.concatenate([[0], np.cumsum(self._sizes(table, kind))])
        if not len(offsets):
            return np.zeros((0, 2), np.int64)
        counts = np.diff(np.append(runs[:, 0], len(offsets) + 1))
        if not len(runs) or runs[0, 0] != 1 or (counts < 0).any():
            raise Unsafe("has a damaged table of chunks")
        last = np.cumsum(np.repeat(runs[:, 1], counts)).clip(max=len(ends) - 1)
        first = np.append([0], last[:-1])
        return np.stack([offsets, offsets + ends[last] - ends[first]], axis=1)

    def _column(self, box: _Box, width: int, wide: bool = False) -> NDArray[np.int64]:
        """A table: its number of rows, then rows of so many integers."""
        (rows,) = struct.unpack_from(">I", self.data, box.body + 4)
        size = width * (8 if wide else 4)
        if box.body + 8 + rows * size > box.end:
            raise Unsafe("has a table that is cut short")
        kind = ">i8" if wide else ">u4"
        flat = np.frombuffer(self.data, kind, rows * width, box.body + 8)
        return flat.astype(np.int64).reshape(rows, width)

    def _sizes(self, table: _Box, kind: bytes) -> NDArray[np.int64]:
        """Bytes of every sample."""
        box = self._inside(table, b"stsz")
        each, count = struct.unpack_from(">II", self.data, box.body + 4)
        if not each:
            shifted = _Box(box.name, box.start, box.body + 4, box.end)
            return self._column(shifted, 1)[:, 0]
        if each == 1 and kind == _SOUND:
            raise Unsafe("holds sound in the old form of QuickTime")
        if each * count > len(self.data):
            raise Unsafe("has more samples than bytes")
        return np.full(count, each, np.int64)

    def _clear_data(self, places: list[_Box]) -> None:
        """Zero what lies beside the samples."""
        ranges = np.concatenate(self._kept)
        ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
        inside = 0
        for place in places:
            mine = ranges[(ranges[:, 0] >= place.body) & (ranges[:, 1] <= place.end)]
            inside += len(mine)
            at = place.body
            for start, end in mine.tolist():
                self._zero(at, start)
                at = max(at, end)
            self._zero(at, place.end)
        if inside < len(ranges):
            raise Unsafe("has samples outside of its data")
