"""Files that change at rest: a bit flips, a tail is gone, a sector is zero.

A store that a server left behind is copied, one place of one file is damaged, and everything is
read again. Allowed is: all that was there, or a refusal as CORRUPT. Other content, a hole, or a
fault of the program's own never is. Only the write-ahead log may end early without a word, and only
where that looks like a commit that never came to its end: its file is cut short, or the damage is
in its last transaction.
"""

import hashlib
import random
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rankspace.errors import Corrupt, RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.config import StoreConfig
from rankspace.store.marks import NUMBER, is_written
from rankspace.store.store import Store
from tests.robustness.contents import key, key_of

Content = dict[str, tuple[str, ...]]
"""The keys of every stream, in order, and of the refused samples that it keeps."""

KEPT = ", kept"
"""Follows the name of a stream where its refused samples are meant."""

WAL = "store.db-wal"
BLOCK = 4096
_HEAD = struct.Struct(">8I")  # sqlite.org/fileformat2.html, WAL header
_FRAME = struct.Struct(">6I")


@dataclass(frozen=True)
class Damage:
    """One place that is no longer what it was."""

    file: str
    how: str
    at: int

    def __str__(self) -> str:
        return f"{self.how} of {self.file} at byte {self.at}"


def damage(folder: Path, chance: random.Random) -> Damage:
    """Damage one place of a store."""
    blobs = sorted(path for path in (folder / "blobs").rglob("*") if path.is_file())
    files = [folder / "store.db", folder / WAL, *([chance.choice(blobs)] if blobs else ())]
    path = chance.choice([file for file in files if file.exists() and file.stat().st_size])
    data = bytearray(path.read_bytes())
    place = _place(path.name, bytes(data[: _HEAD.size]), len(data), chance)
    if path in blobs:
        place = _in_use(data, chance)
    how = chance.choice(HOW_SEGMENT if path in blobs else HOW)
    place = place // BLOCK * BLOCK if how == "hole" else place
    done = Damage(str(path.relative_to(folder)), how, place)
    match done.how:
        case "flip":
            data[done.at] ^= 1 << chance.randrange(8)
        case "truncation":
            del data[done.at :]
        case "zeros":
            data[done.at : done.at + 512] = bytes(len(data[done.at : done.at + 512]))
        case "hole":
            data[place : place + BLOCK] = bytes(len(data[place : place + BLOCK]))
    path.write_bytes(data)
    return done


def _place(name: str, head: bytes, size: int, chance: random.Random) -> int:
    """Anywhere, but one time in three where a format keeps what it stands on."""
    if chance.random() < 0.67:
        return chance.randrange(size)
    if name != WAL or size <= _HEAD.size or chance.random() < 0.2:
        return chance.randrange(min(size, 100))
    frame = _HEAD.unpack(head)[2] + _FRAME.size
    number = chance.randrange(max(1, (size - _HEAD.size) // frame))
    return min(size - 1, _HEAD.size + number * frame + chance.randrange(_FRAME.size))


HOW = ("flip", "flip", "truncation", "zeros")
HOW_SEGMENT = (*HOW, "hole")


def _in_use(data: bytearray, chance: random.Random) -> int:
    """A place in a segment where there is something: most of it is room for what is to come."""
    used = [at for at in range(0, len(data), 512) if any(data[at : at + 512])]
    return min(len(data) - 1, chance.choice(used or [0]) + chance.randrange(512))


def contents(folder: Path, inline_bytes_max: int = 1000) -> tuple[Content, str]:
    """What every stream holds, and the reason for what could not be read ("": all could)."""
    found: Content = {}
    refused = ""
    try:
        with Store.open(StoreConfig(folder=folder, inline_bytes_max=inline_bytes_max)) as store:
            for stream in store.log.list(1000).items:
                try:
                    found[stream.name] = tuple(_keys(store, stream.name))
                    found[stream.name + KEPT] = tuple(_refused(store, stream.name))
                    _check_media(store, stream.name)
                except RankspaceError as error:
                    refused = error.reason()
    except RankspaceError as error:
        refused = error.reason()
    return found, refused


def _keys(store: Store, stream: str) -> Iterator[str]:
    for expected, (offset, entry) in enumerate(store.log.records(stream)):
        found = key(entry) if isinstance(entry, Sample) else key_of(entry.sample_id)
        yield found if offset == expected else f"at {offset}"


def _refused(store: Store, stream: str) -> Iterator[str]:
    for one in store.rejects.list(stream, 1000).items:
        kept = store.rejects.get(stream, one.offset)
        yield f"{kept.offset} {kept.sample_id} {kept.reason} {hashlib.sha256(kept.raw).hexdigest()}"


def _check_media(store: Store, stream: str) -> None:
    """Read the media that have grown and nobody has named: each has a hash of its own."""
    for grown in store.pieces.open(stream):
        if grown.ended:
            store.pieces.whole(stream, [grown.media_id], 1 << 30)


def verdict(before: Content, folder: Path, done: Damage, wal: int) -> str:
    """What is wrong with a damaged store; "" if nothing is.

    `wal` is where the end of the undamaged write-ahead log begins that may be lost.
    """
    try:
        after, refused = contents(folder)
    except Exception as error:  # noqa: BLE001 - whatever comes out is the finding
        return f"{done}: a fault of its own: {error!r}"
    if refused not in ("", Corrupt.reason()):
        return f"{done}: refused as {refused}"
    if any(set(keys) - set(before.get(name, ())) for name, keys in after.items() if KEPT in name):
        return f"{done}: a refused sample is not what was kept"
    return _compared((_streams(before), _streams(after)), refused, done, wal)


def _compared(contents: tuple[Content, Content], refused: str, done: Damage, wal: int) -> str:
    """What is wrong with what is read of streams before and after the damage."""
    before, after = contents
    if refused:
        wrong = [name for name, keys in after.items() if keys != before.get(name)]
        return f"{done}: refused, but other streams changed: {wrong}" if wrong else ""
    if after == before:
        return ""
    prefix = all(before.get(name, ())[: len(keys)] == keys for name, keys in after.items())
    ends = done.file == WAL and prefix
    if ends and (wal <= done.at or done.how == "truncation"):
        return ""
    lost = sum(map(len, before.values())) - sum(map(len, after.values()))
    return f"{done}: read without a word, {lost} fewer, {'a prefix' if ends else 'other content'}"


def _streams(content: Content) -> Content:
    """Without the refused samples: nothing tells when one of them is gone."""
    return {name: keys for name, keys in content.items() if KEPT not in name}


def unsure_from(log: Path) -> int:
    """Where the end of a write-ahead log begins of which nobody can tell whether it was synced.

    That is the last transaction; where some were only written, the last one that is known to have
    been synced because another one followed. A damaged sector may begin before it, hence 512 less.
    """
    data = log.read_bytes() if log.exists() else b""
    if len(data) < _HEAD.size:
        return 0
    page, salts = _HEAD.unpack_from(data)[2], _HEAD.unpack_from(data)[4:6]
    begins, written = [_HEAD.size], [False]
    for at in range(_HEAD.size, len(data) - page - _FRAME.size + 1, page + _FRAME.size):
        number, commits, *found = _FRAME.unpack_from(data, at)
        if tuple(found[:2]) != salts:
            break
        body = data[at + _FRAME.size :]
        written[-1] |= number == 1 and is_written(int.from_bytes(body[NUMBER], "big"))
        if commits:
            begins.append(at + page + _FRAME.size)
            written.append(False)
    last = len(begins) - 2  # what follows the last commit is none
    if any(written):
        last = max((at for at in range(last) if not written[at]), default=0)
    return max(0, begins[max(0, last)] - 512)


def tried(store: Path, scratch: Path, chance: random.Random, times: int) -> Iterator[str]:
    """Damage copies of a store; what is wrong with each ("": nothing)."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(store, scratch)
    wal = unsure_from(scratch / WAL)
    before, refused = contents(scratch)
    assert not refused, f"the store is damaged already: {refused}"
    for _ in range(times):
        shutil.rmtree(scratch)
        shutil.copytree(store, scratch)
        done = damage(scratch, chance)
        yield verdict(before, scratch, done, wal)
    shutil.rmtree(scratch)
