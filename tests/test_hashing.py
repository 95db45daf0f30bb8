"""Ours is BLAKE3, however inputs are cut, mixed and spread over lanes."""

import ctypes
import random
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from rankspace import compiled, hashing

COMPILER = compiled.compiler() or ""
HERE = pytest.mark.skipif(not COMPILER, reason="no C++ compiler")
LANES = (4, 8, 16)
CHUNK = 1024
EDGES = sorted(
    {0, 100_000, 512 * CHUNK, 512 * CHUNK + 1, 1537 * CHUNK + 7}
    | {size + by for size in (1, 64, 128) for by in (-1, 0, 1)}
    | {count * CHUNK + by for count in (1, 2, 3, 16, 17, 33) for by in (-1, 0, 1)}
)
Cut = Sequence[bytes | None]


class Place(ctypes.Structure):
    """blake3::Part."""

    _fields_ = (("at", ctypes.c_char_p), ("size", ctypes.c_int64))


class Input(ctypes.Structure):
    """blake3::Input."""

    _fields_ = (
        ("parts", ctypes.POINTER(Place)),
        ("count", ctypes.c_int64),
        ("size", ctypes.c_int64),
    )


def told_of(cut: Cut) -> Input:
    parts = (Place * len(cut))(*(Place(part, len(part or b"")) for part in cut))
    return Input(parts, len(cut), sum(part.size for part in parts))


def many(library: ctypes.CDLL, inputs: Sequence[Cut], lanes: int) -> list[bytes]:
    told = (Input * len(inputs))(*map(told_of, inputs))
    found = (ctypes.c_char * (32 * len(inputs)))()
    count, most = ctypes.c_int64(len(inputs)), ctypes.c_int64(lanes)
    library.hashing_many(told, count, found, most)
    return [found.raw[at : at + 32] for at in range(0, len(found), 32)]


def whole(cut: Cut) -> bytes:
    return blake3(b"".join(part or b"" for part in cut)).digest()


def looped(before: bytes, contents: bytes) -> bytes:
    for at in range(0, len(contents), 32):
        before = blake3(before + contents[at : at + 32]).digest()
    return before


@pytest.fixture(scope="module")
def native() -> ctypes.CDLL:
    found = hashing.native()
    assert found is not None
    return found


def cut(size: int, chance: random.Random) -> Cut:
    """So many bytes in three pieces, often empty ones, or as small as heads and tails are."""
    data = chance.randbytes(size)
    first = min(size, chance.choice((0, 1, 90, chance.randint(0, size))))
    last = max(first, size - chance.choice((0, 4, chance.randint(0, size))))
    return data[:first], data[first:last], data[last:]


def shredded(size: int, chance: random.Random) -> Cut:
    """So many bytes in any number of pieces of any kind, some of them empty."""
    data, most = chance.randbytes(size), chance.choice((3, 200, 1200, 40_000))
    edges, at = [0], 0
    while at < size:
        at = min(size, at + chance.choice((0, 1, CHUNK, chance.randint(0, most))))
        edges.append(at)
    return [data[start:end] for start, end in pairwise(edges)] + [b""] * chance.randint(0, 2)


chances = st.integers(0, 2**32 - 1).map(random.Random)
sizes = st.sampled_from([size for size in EDGES if size <= 100_000]) | st.integers(0, 3000)


@HERE
@given(st.lists(sizes, max_size=70), chances, st.sampled_from(LANES))
def test_any_inputs_at_once_are_hashed_as_each_by_itself(
    native: ctypes.CDLL, sizes: list[int], chance: random.Random, lanes: int
) -> None:
    inputs = [cut(size, chance) for size in sizes]
    assert many(native, inputs, lanes) == [*map(whole, inputs)]


@HERE
@pytest.mark.parametrize("lanes", LANES)
def test_an_input_of_any_length_is_hashed_however_it_is_cut(
    native: ctypes.CDLL, lanes: int
) -> None:
    chance = random.Random(lanes)
    for size in EDGES:
        one, other = cut(size, chance), cut(300, chance)
        assert many(native, [one], lanes) == [whole(one)], size
        assert many(native, [other, one, other], lanes) == [*map(whole, (other, one, other))], size


@HERE
@given(st.lists(sizes, max_size=8), chances, st.sampled_from(LANES))
def test_inputs_in_any_number_of_places_are_hashed_as_in_one(
    native: ctypes.CDLL, sizes: list[int], chance: random.Random, lanes: int
) -> None:
    inputs = [shredded(size, chance) for size in sizes]
    assert many(native, inputs, lanes) == [*map(whole, inputs)]


@HERE
@pytest.mark.parametrize("lanes", LANES)
def test_an_input_of_many_spans_is_hashed_wherever_its_pieces_end(
    native: ctypes.CDLL, lanes: int
) -> None:
    chance = random.Random(lanes)
    for size in (1537 * CHUNK + 7, 4 << 20):
        one, other = shredded(size, chance), shredded(300, chance)
        assert many(native, [other, one, other], lanes) == [*map(whole, (other, one, other))], size


@HERE
def test_nothing_lies_at_no_address(native: ctypes.CDLL) -> None:
    inputs: list[Cut] = [(None, None, None), (None, b"x", None), ()]
    assert many(native, inputs, 16) == [*map(whole, inputs)]
    assert many(native, [], 16) == []


KNOWN = {
    0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    1025: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
}
"""Of the test vectors that BLAKE3 is published with: byte i is i mod 251."""

VECTORS = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2048, 2049, 3072, 3073,
    4096, 4097, 5120, 5121, 6144, 6145, 7168, 7169, 8192, 8193, 16384, 31744, 102400,
)  # fmt: skip


@HERE
@pytest.mark.parametrize("lanes", LANES)
def test_published_vectors_are_hashed_as_published(native: ctypes.CDLL, lanes: int) -> None:
    inputs = [bytes(i % 251 for i in range(size)) for size in VECTORS]
    hashes = many(native, [(b"", data, b"") for data in inputs], lanes)
    found = dict(zip(VECTORS, hashes, strict=True))
    assert {size: found[size].hex() for size in KNOWN} == KNOWN
    assert hashes == [blake3(data).digest() for data in inputs]
    assert [*map(hashing.digest, inputs)] == hashes


@given(
    st.lists(st.binary(max_size=100) | st.sampled_from([b"x" * 50_000, b"y" * (128 << 10)])),
    st.sampled_from([0, 1, 128 << 10, 300_000]),
)
def test_pieces_are_hashed_as_one(pieces: list[bytes], large: int) -> None:
    pieces.insert(len(pieces) // 2, bytes(large))
    assert hashing.digest(*pieces) == blake3(b"".join(pieces)).digest()


@given(st.binary(min_size=32, max_size=32), st.integers(0, 40), chances)
def test_a_chain_is_that_of_single_hashes(before: bytes, count: int, chance: random.Random) -> None:
    contents, sent = chance.randbytes(32 * count), bytearray(before)
    assert hashing.chain(before, contents) == looped(before, contents)
    assert before == sent  # what was handed over is as it was


@HERE
@pytest.mark.parametrize("lanes", LANES)
def test_a_chain_is_the_same_on_any_lanes(native: ctypes.CDLL, lanes: int) -> None:
    chance = random.Random(0)
    before, contents = chance.randbytes(32), chance.randbytes(32 * 100)
    last = ctypes.create_string_buffer(before, 32)
    native.hashing_chain(last, contents, 100, lanes)
    assert last.raw == looped(before, contents)


def test_without_a_compiler_a_chain_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before, contents = bytes(32), random.Random(0).randbytes(320)
    monkeypatch.setattr(hashing, "library", lambda *_: None)
    hashing.native.cache_clear()
    try:
        assert hashing.native() is None
        assert hashing.chain(before, contents) == looped(before, contents)
    finally:
        hashing.native.cache_clear()


@HERE
def test_no_byte_beside_the_inputs_is_read(tmp_path: Path) -> None:
    path = tmp_path / "watched"
    flags = ("-std=c++17", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = Path(__file__).with_name("hashing_watched.cpp")
    try:
        compiled.compile_to(path, COMPILER, [program], flags)
    except subprocess.SubprocessError:
        pytest.skip("the compiler has no sanitizers")
    done = subprocess.run([path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
