"""Whatever bytes come, the native intake declines them or tells what the ordinary way tells."""

import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rankspace import compiled
from rankspace.media.limits import Limits
from rankspace.media.probe import _YEAR_9999_US
from rankspace.media.sample import Part, Sample
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire.ingestion import write_batch
from rankspace.wire.intake import SOURCES, Intake
from tests.wire.ordinary import (
    LIMITS,
    SAMPLES_MAX,
    SMALL,
    STARTS,
    Bounds,
    assert_equal,
    damaged,
    held,
    messages,
    ordinary,
    sent,
    sha256,
)

ROOT = Path(__file__).parents[2]
COMPILER = compiled.compiler() or ""
pytestmark = pytest.mark.skipif(not COMPILER, reason="no C++ compiler")

SOUNDS = ("wav", "flac", "ogg", "opus", "mp3")
IMAGES = ("png", "jpeg", "webp", "gif")


@pytest.fixture(scope="module")
def intake() -> Intake:
    found = Intake.load(*SMALL)
    assert found is not None
    return found


def media(kinds: tuple[str, ...]) -> st.SearchStrategy[tuple[bytes, str]]:
    """Data that begin as they should, and what may be said of their encoding."""
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.tuples(
            st.binary(max_size=60).map(lambda rest: STARTS[kind] + rest),
            st.sampled_from(["", kind] + ["ogg"] * (kind == "opus")),
        )
    )


printable = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
ids = st.text(printable, min_size=1, max_size=8).filter(lambda name: name.strip() == name)
roles = st.from_regex(r"[a-z0-9_-]{0,6}|[a-z]{64}", fullmatch=True)
texts = (
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)
    .map(str.encode)
    .filter(lambda data: len(data) <= LIMITS.text_bytes_max)
)
int31 = st.integers(0, 2**31 - 1)
plain_parts = st.one_of(
    st.builds(Part, st.just("text"), texts, st.just(""), roles),
    st.builds(lambda told, role: Part("audio", told[0], told[1], role), media(SOUNDS), roles),
    st.builds(
        Part, st.just("audio"), st.binary(min_size=1, max_size=90),
        st.sampled_from(["pcm_s16le", "pcm_f32le"]), roles, int31, int31,
    ),
    st.builds(lambda told, role: Part("image", told[0], told[1], role), media(IMAGES), roles),
)  # fmt: skip
plain_samples = st.builds(
    Sample,
    ids,
    plain_parts.map(lambda part: (part,)),
    st.just(0) | st.integers(0, _YEAR_9999_US - 1),
)
offsets = st.none() | st.integers(0, 2**63 - 1)


@st.composite
def plain_messages(draw: st.DrawFn) -> bytes:
    """Batches that are joined, the last perhaps with hashes."""
    samples = draw(st.lists(plain_samples, min_size=1, max_size=SAMPLES_MAX))
    cut = draw(st.integers(0, len(samples)))
    whole = write_batch(samples, draw(offsets))
    right = {"content_hash": sha256(whole), "content_blake3": whole.content_blake3}
    said = draw(st.sets(st.sampled_from(sorted(right))))
    before = draw(st.sets(st.sampled_from(sorted(said)))) if said else ()
    wrong = {name: draw(st.binary(min_size=32, max_size=32)) for name in sorted(before)}
    first = pb.SampleBatch(samples=whole.samples[:cut], offset=draw(offsets))
    last = pb.SampleBatch(samples=whole.samples[cut:])
    for message, hashes in ((first, wrong), (last, {name: right[name] for name in said})):
        for name, value in hashes.items():
            setattr(message, name, value)
    if whole.HasField("offset"):
        last.offset = whole.offset
    return sent(first) + sent(last)


@given(message=plain_messages())
def test_a_plain_batch_is_told_as_the_ordinary_way_tells_it(intake: Intake, message: bytes) -> None:
    plain, found = intake.read(message), ordinary(message)
    assert plain is not None
    assert found is not None
    assert_equal(plain, *found)


# Messages of any fields: most as they should be, in any order, some twice, some unknown.
def field(number: int, values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return values.map(lambda value: bytes([number << 3 | 2, *varint(len(value))]) + value)


def numbered(number: int, values: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    return values.map(lambda value: bytes([number << 3, *varint(value)]))


def varint(value: int) -> bytes:
    found = bytearray()
    value &= 2**64 - 1
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def joined(*fields: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly each once, in any order; now and then any of them, or what nobody knows."""
    once = st.tuples(*fields).flatmap(st.permutations)
    some = st.lists(st.one_of(*fields, odd), max_size=len(fields) + 1)
    return st.one_of(once, once, once, some).map(b"".join)


odd = st.sampled_from(
    [
        b"\x0a\x00",
        b"\x50\x01",
        b"\x5a\x00",
        b"\x08\x80\x00",
        b"\x0b\x0c",
        b"\x15abcd",
        b"\x80\x01\x00",
    ]
)
numbers = st.sampled_from([0, 1, 2, 6, 9, 14, 15, 99, 2**31, 2**40, _YEAR_9999_US, -1])
few = st.sampled_from([0, 0, 0, 1, 8])
data = st.sampled_from([
    *STARTS.values(), b"text", "тест".encode(), b"\xff\xfb", b"", b"\xc0\x80", b"a\0",
    b"\0\0\0\0ftyp", b"\xff\xfb\0\0ftyp", b"x" * 61, b"x" * 91,
])  # fmt: skip
words = st.sampled_from([b"a", b"", b" a", b"a\n", b"A", b"\xd0\xb6", b"a" * 9, b"x" * 65, b"\xff"])
part_messages = joined(
    field(1, words),
    st.one_of(
        field(2, joined(field(1, data))),
        field(3, joined(field(1, data), numbered(2, few), numbered(3, few), numbered(4, few))),
        field(4, joined(field(1, data), numbered(2, numbers | few))),
        field(5, joined(field(1, data))),
    ),
    numbered(7, few),
)
sample_messages = joined(field(1, words), numbered(2, few | numbers), field(3, part_messages))
batch_messages = joined(
    numbered(1, few | numbers), field(2, sample_messages), field(2, sample_messages)
)
any_messages = joined(field(2, batch_messages), field(2, batch_messages))


@given(message=any_messages)
def test_fields_in_any_order_and_number_are_declined_or_told_right(
    intake: Intake, message: bytes
) -> None:
    held(intake, message)


@given(seed=st.integers(0, 2**32), message=st.sampled_from(messages()) | plain_messages())
@example(seed=0, message=b"")
def test_damaged_messages_are_declined_or_told_right(
    intake: Intake, seed: int, message: bytes
) -> None:
    held(intake, damaged(message, random.Random(seed)))


@given(
    message=st.lists(plain_samples, min_size=1, max_size=3),
    at=st.integers(0, 255),
    name=st.sampled_from(["content_hash", "content_blake3"]),
)
def test_another_hash_is_declined(
    intake: Intake, message: list[Sample], at: int, name: str
) -> None:
    batch = write_batch(message, 0)
    batch.content_hash = sha256(batch)
    wrong = bytearray(getattr(batch, name))
    wrong[at // 8] ^= 1 << at % 8
    assert held(intake, sent(batch))
    setattr(batch, name, bytes(wrong))
    assert not held(intake, sent(batch))
    assert ordinary(sent(batch)) is None


LARGE: Bounds = (Limits(), 1024, 8 << 10)


def test_batches_of_a_usual_size_are_told_by_many_threads_at_once() -> None:
    chance = random.Random(0)
    intake = Intake.load(*LARGE)
    assert intake is not None
    sizes = [1, 100, 8 << 10, (8 << 10) + 1, 40_000, 1 << 20]
    parts = [Part("image", STARTS["png"] + chance.randbytes(size), "png") for size in sizes]
    parts += [Part("text", ("тест " * 200).encode()), Part("audio", STARTS["mp3"] + bytes(9000))]
    samples = [Sample(f"sample {at}", (part,), at) for at, part in enumerate(parts)]
    batches = [samples[:1], samples[:5] * 8, samples, samples[6:] * 40, samples[2:3] * 140]
    batches += [samples[6:7] * count for count in (256, 257, 600)]
    asked = [sent(write_batch(batch, 0)) for batch in batches] * 3
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda message: held(intake, message, LARGE), asked))


def test_ids_of_any_length_are_hashed_and_too_long_ones_declined() -> None:
    bounds = Limits(sample_id_chars_max=20_000), *LARGE[1:]
    intake = Intake.load(*bounds)
    assert intake is not None
    for sizes, taken in (
        ([256] * 150, True), ([5000] * 9, True), ([1, 16_240, 1], True), ([1, 16_241], False),
    ):  # fmt: skip
        samples = [Sample("i" * size, (Part("text", b"x" * 1024),)) for size in sizes]
        assert held(intake, sent(write_batch(samples, 0)), bounds) == taken, sizes


def test_large_media_can_be_written_as_they_are(intake: Intake, tmp_path: Path) -> None:
    samples = [Sample("a", (Part("text", letter * 40),)) for letter in (b"x", b"y")]
    plain = intake.read(sent(write_batch(samples, None)))
    assert plain is not None
    path = tmp_path / "region"
    with path.open("wb") as file:
        assert os.pwritev(file.fileno(), plain.pieces, 0) == plain.size
    assert path.read_bytes() == b"".join(plain.pieces) == b"x" * 40 + b"y" * 40


@pytest.mark.slow
def test_no_damaged_message_is_read_past_its_end(tmp_path: Path) -> None:
    path = tmp_path / "watched.so"
    watched = (*compiled.FLAGS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    flags = [flag for flag in watched if "FORTIFY" not in flag]
    try:
        compiled.compile_to(path, COMPILER, SOURCES, flags)
    except subprocess.SubprocessError:
        pytest.skip("the compiler has no sanitizers")
    watching = [COMPILER, "-print-file-name=libasan.so"]
    library = subprocess.run(watching, capture_output=True, text=True, check=True).stdout.strip()
    told = {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    run = [sys.executable, "-m", "tests.wire.ordinary", str(path), "30000"]
    done = subprocess.run(
        run, cwd=ROOT, env=os.environ | told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    taken, _ = done.stdout.split()
    assert int(taken) > 100
