"""The write-ahead log of SQLite, looked at before SQLite recovers it.

SQLite takes the log up to the first frame whose checksum is wrong. For a write that a crash tore,
which is always the last one, that is right. But a frame that was damaged later may lie before
commits that were acknowledged, and these would be gone without a word. A commit is synced before
the next one begins; so where a commit at or after the wrong frame is followed by a frame that goes
on from it, what is wrong had been synced, and the store must say so.

    log    32 bytes of header, then frames; integers are big-endian
    frame  page number, pages after a commit (0: none), two salts, checksum (2), the page
    sums   s0 += x[i] + s1, s1 += x[i+1] + s0 (mod 2^32) over the words of a frame, on from those
           of the frame before it

A frame is of this log where its salts are the header's. What follows the last such frame was left
by an earlier log; one before it that has other salts is damaged, or torn. The header is written in
one piece: wrong sums of its own are damage. Where it is all zeros the salts are the first frame's.

Damage in the last commit cannot be told from a tear. In the mode "written" commits are not synced
one by one, so after a power cut a log may have holes where nothing was promised: once that mode has
been used, only a commit that was surely synced (`marks`) tells that what is before it had been
synced. Source: sqlite.org/fileformat2.html#the_write_ahead_log.
"""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankspace.errors import Corrupt
from rankspace.store.marks import NUMBER, is_used, is_written

_HEADER = 32
_FRAME = 24  # bytes of a frame before its page
_MAGIC = (0x377F0682, 0x377F0683)  # words of the sums are little-endian, big-endian
_AGAIN_S = 0.2

Words = NDArray[np.uint32]
Truths = NDArray[np.bool_]


def check_log(database: Path) -> None:
    """Raise Corrupt if commits that were synced would be lost."""
    path = database.with_name(database.name + "-wal")
    if _damaged(path):
        time.sleep(_AGAIN_S)  # another process may have been writing just there
        if _damaged(path):
            raise Corrupt(
                "the write-ahead log of the database is damaged before its end; restore the store "
                "from a backup, or set store.cut_damaged_log to go on without what follows"
            )


def _damaged(path: Path) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    if len(data) < _HEADER:
        return False
    header = np.frombuffer(data[:_HEADER], ">u4").astype(np.uint32)
    if header.any() and not _is_header(header):
        return True
    size = _FRAME + (int(header[2]) or _page_bytes(path))
    count = (len(data) - _HEADER) // size
    raw = np.frombuffer(data, np.uint8, count * size, _HEADER).reshape(count, size)
    heads = np.ascontiguousarray(raw[:, :_FRAME]).view(">u4").astype(np.uint32)  # [frames, 6]
    if not count:
        return False
    ours = (heads[:, 2:4] == (header[4:6] if header.any() else heads[0, 2:4])).all(axis=1)
    if not ours.any():
        return False
    count = int(np.flatnonzero(ours)[-1]) + 1
    good = ours[:count] & _sums_agree(raw[:count], heads[:count], header)
    commits = heads[:count, 1] != 0
    numbers = raw[:count, _FRAME:][:, NUMBER].copy().view(">u4")[:, 0]
    numbers = np.where(heads[:count, 0] == 1, numbers, 0)  # those on first pages
    if is_used(_number(path)) or (good & is_used(numbers)).any():
        unsure = ~ours[:count] | (heads[:count, 0] == 1) & ~good | is_written(numbers)
        commits &= ~_any_since_commit(unsure, commits)
    return _synced_after(good, commits)


def _any_since_commit(found: Truths, commits: Truths) -> Truths:
    """Whether anything was found in a frame or before it, up to the commit before."""
    total = np.cumsum(found)
    ends = np.flatnonzero(commits)
    before = np.concatenate([[0], total[ends]])[np.cumsum(commits) - commits]
    return (total - before) > 0


def _is_header(header: Words) -> bool:
    """Whether these eight words are what SQLite writes."""
    if int(header[0]) not in _MAGIC or not 512 <= int(header[2]) <= 65536:
        return False
    told = header[:6] if int(header[0]) == _MAGIC[1] else header[:6].byteswap()
    return bool((_sums(np.zeros((1, 2), np.uint32), told[None])[0] == header[6:8]).all())


def _first_bytes(path: Path) -> bytes:
    """How the database begins."""
    database = path.with_name(path.name.removesuffix("-wal"))
    if not database.exists():
        return b""
    with database.open("rb") as file:
        return file.read(100)


def _page_bytes(path: Path) -> int:
    """Bytes of a page, as the database itself says."""
    told = int.from_bytes(_first_bytes(path)[16:18], "big")
    return {0: 4096, 1: 65536}.get(told, told)


def _number(path: Path) -> int:
    """The number that marks commits, as the database itself has it."""
    return int.from_bytes(_first_bytes(path)[NUMBER], "big")


def _sums_agree(raw: NDArray[np.uint8], heads: Words, header: Words) -> Truths:
    """Whether each frame goes on from the sums of the one before it, as these are written down."""
    order = ">u4" if int(header[0]) == _MAGIC[1] else "<u4"
    summed = np.ascontiguousarray(np.delete(raw, np.s_[8:_FRAME], axis=1))
    words = summed.view(order).astype(np.uint32)  # [frames, words]
    before = np.vstack([header[6:8], heads[:-1, 4:6]])  # [frames, 2]
    found = _sums(before, words)
    return (found == heads[:, 4:6]).all(axis=1)


def _sums(before: Words, words: Words) -> Words:
    """The sums after each row of words: a linear recurrence, so a product with fixed weights."""
    pairs = words.shape[1] // 2
    step = np.array([[1, 1], [1, 2]], np.uint32)  # (s0, s1) after a pair of zeros
    weights = np.empty((pairs, 2, 2), np.uint32)
    power = np.eye(2, dtype=np.uint32)
    enter = np.array([[1, 0], [1, 1]], np.uint32)  # what a pair adds to (s0, s1)
    for pair in reversed(range(pairs)):
        weights[pair] = power @ enter
        power = power @ step
    flat = weights.transpose(1, 0, 2).reshape(2, -1)  # [sum, words]
    return (before @ power.T + words @ flat.T).astype(np.uint32)


def _synced_after(good: Truths, commits: Truths) -> bool:
    """Whether a frame is wrong and a commit at or after it was followed by another frame."""
    if good.all():
        return False
    first = int(np.argmin(good))
    return bool((commits[first:-1] & good[first + 1 :]).any())
