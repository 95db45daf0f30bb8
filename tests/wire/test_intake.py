"""Whatever bytes come, the native intake declines them or tells what the ordinary way tells."""

import ctypes
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rankspace import compiled
from rankspace.media.limits import Limits
from rankspace.media.probe import _YEAR_9999_US
from rankspace.media.sample import Part, Sample
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.wire.ingestion import content_hash, write_batch
from rankspace.wire.intake import APART_BYTES, SOURCES, Intake
from rankspace.wire.media import write_sample
from tests.wire.ordinary import (
    LIMITS,
    SAMPLES_MAX,
    SMALL,
    Bounds,
    assert_equal,
    damaged,
    held,
    messages,
    ordinary,
)

ROOT = Path(__file__).parents[2]
LIBRARY = compiled.library(*SOURCES)
COMPILER = next(filter(None, map(shutil.which, compiled.COMPILERS)), "")
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="no C++ compiler")

STARTS = {
    "wav": b"RIFF\4\0\0\0WAVE",
    "flac": b"fLaC",
    "ogg": b"OggS",
    "opus": b"OggS" + bytes(20) + b"OpusHead",
    "mp3": b"ID3",
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff",
    "webp": b"RIFF\4\0\0\0WEBP",
    "gif": b"GIF89a",
}
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
    st.builds(
        lambda told, role: Part("audio", *told, role),
        media(SOUNDS).filter(lambda told: b"OpusHead" not in told[0] or told[1] != "ogg"),
        roles,
    ),
    st.builds(
        Part, st.just("audio"), st.binary(min_size=1, max_size=90),
        st.sampled_from(["pcm_s16le", "pcm_f32le"]), roles, int31, int31,
    ),
    st.builds(lambda told, role: Part("image", *told, role), media(IMAGES), roles),
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
    """Batches that are joined, the last perhaps with a hash."""
    samples = draw(st.lists(plain_samples, min_size=1, max_size=SAMPLES_MAX))
    cut = draw(st.integers(0, len(samples)))
    whole = write_batch(samples, draw(offsets))
    if not draw(st.booleans()):
        whole.ClearField("content_hash")
    first = pb.SampleBatch(samples=whole.samples[:cut], offset=draw(offsets))
    if draw(st.booleans()):
        first.content_hash = whole.content_hash and draw(st.binary(min_size=32, max_size=32))
    last = pb.SampleBatch(samples=whole.samples[cut:], content_hash=whole.content_hash)
    if whole.HasField("offset"):
        last.offset = whole.offset
    return sent(first) + sent(last)


def sent(batch: pb.SampleBatch) -> bytes:
    return pb.AppendSamplesRequest(batch=batch).SerializeToString()


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


def part(**other: Any) -> media_pb2.Part:
    return media_pb2.Part(**({"role": "en", "text": media_pb2.Text(utf8=b"text")} | other))


def sample(**other: Any) -> media_pb2.Sample:
    return media_pb2.Sample(**({"sample_id": "a", "parts": [part()]} | other))


def text(data: bytes) -> media_pb2.Sample:
    return sample(parts=[part(text=media_pb2.Text(utf8=data))])


def audio(data: bytes, encoding: int = 0, rate_hz: int = 0, channels: int = 0) -> media_pb2.Sample:
    sound = media_pb2.Audio(data=data, encoding=encoding, rate_hz=rate_hz, channels=channels)
    return sample(parts=[media_pb2.Part(audio=sound)])


def image(data: bytes, encoding: int = 0) -> media_pb2.Sample:
    return sample(parts=[media_pb2.Part(image=media_pb2.Image(data=data, encoding=encoding))])


TAKEN = {
    "a text": sample(),
    "an id of all the characters that are taken": sample(sample_id="a ~!" * 2),
    "the last moment": sample(event_time_us=_YEAR_9999_US - 1),
    "the longest role": sample(parts=[part(role="_-09az" + "x" * 58)]),
    "the longest text": text(b"x" * 60),
    "the longest part": image(STARTS["png"] + bytes(82)),
    "the most that is described": sample(
        parts=[
            media_pb2.Part(
                role="r" * 64,
                audio=media_pb2.Audio(
                    data=b"x" * 90, encoding=7, rate_hz=2**31 - 1, channels=2**31 - 1
                ),
            )
        ],
        sample_id="12345678",
    ),
    "Opus said to be Ogg": audio(STARTS["opus"], 3),
    "a frame of MP3": audio(b"\xff\xfb"),
    "the last place where Opus is seen": audio(b"OggS" + bytes(52) + b"OpusHead", 5),
    "Opus a byte later": audio(b"OggS" + bytes(53) + b"OpusHead", 3),
}

DECLINED = {
    "no id": sample(sample_id=""),
    "a long id": sample(sample_id="a" * 9),
    "a space before the id": sample(sample_id=" a"),
    "a space behind the id": sample(sample_id="a "),
    "an id of another script": sample(sample_id="ж"),
    "an id that holds a control character": sample(sample_id="a\tb"),
    "an id that holds a delete": sample(sample_id="a\x7f"),
    "a time before 1970": sample(event_time_us=-1),
    "a time after 9999": sample(event_time_us=_YEAR_9999_US),
    "labels": sample(labels={"a": "b"}),
    "no parts": sample(parts=[]),
    "two parts": sample(parts=[part(), part()]),
    "a long role": sample(parts=[part(role="a" * 65)]),
    "a role in capitals": sample(parts=[part(role="EN")]),
    "a role with a line's end": sample(parts=[part(role="en\n")]),
    "a start": sample(parts=[part(start_us=1)]),
    "a start before the sample": sample(parts=[part(start_us=-1)]),
    "a part without content": sample(parts=[media_pb2.Part(role="en")]),
    "a video": sample(parts=[media_pb2.Part(video=media_pb2.Video(data=b"\x1aE\xdf\xa3"))]),
    "a growing medium": sample(
        parts=[media_pb2.Part(growing=media_pb2.GrowingMedia(media_id="m"))]
    ),
    "an empty text": text(b""),
    "a long text": text(b"x" * 61),
    "a text that is not UTF-8": text(b"\xff"),
    "a text with a lone surrogate": text(b"\xed\xa0\x80"),
    "a text with NUL": text(b"a\0"),
    "an empty sound": audio(b""),
    "empty PCM": audio(b"", 6, 8000, 1),
    "a long part": image(STARTS["png"] + bytes(83)),
    "a picture for a sound": audio(STARTS["png"]),
    "a sound for a picture": image(STARTS["wav"]),
    "a picture that is PCM": image(STARTS["png"], 6),
    "a film for a picture": image(b"\0\0\0\0ftyp"),
    "a film that looks like MP3": audio(b"\xff\xfb\0\0ftyp"),
    "a sound of no known kind": audio(b"RIFF\4\0\0\0XXXX"),
    "another encoding": image(STARTS["png"], 9),
    "Ogg said to be Opus": audio(STARTS["ogg"], 5),
    "an encoding of films": image(STARTS["gif"], 12),
    "an encoding that nobody knows": image(STARTS["gif"], 15),
    "an encoding below all": image(STARTS["gif"], -1),
    "a rate of a file": audio(STARTS["wav"], 0, 8000),
    "channels of a file": audio(STARTS["wav"], 0, 0, 1),
    "a rate below 0": audio(b"xx", 6, -1, 1),
    "channels below 0": audio(b"xx", 6, 8000, -1),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_just_plain_is_taken(intake: Intake, name: str) -> None:
    assert held(intake, sent(pb.SampleBatch(samples=[TAKEN[name]] * SAMPLES_MAX)))


@pytest.mark.parametrize("name", DECLINED)
def test_what_is_not_plain_is_declined(intake: Intake, name: str) -> None:
    assert intake.read(sent(pb.SampleBatch(samples=[sample(), DECLINED[name]]))) is None


GOOD = sent(pb.SampleBatch(samples=[sample()]))
INNER = GOOD[2:]  # the batch
SAMPLE = INNER[2:]
UNUSUAL = {
    "nothing": b"",
    "a batch of none": b"\x12\x00",
    "too many samples": GOOD * (SAMPLES_MAX + 1),
    "a setup": b"\x0a\x00" + GOOD,
    "a piece": GOOD + b"\x1a\x00",
    "a field that nobody knows": GOOD + b"\x50\x00",
    "a group": GOOD + b"\x53\x54",
    "an offset below 0": GOOD + sent(pb.SampleBatch(offset=-1)),
    "a hash too short": GOOD + b"\x12\x03\x1a\x01a",
    "an empty hash": GOOD + b"\x12\x02\x1a\x00",
    "a batch that ends early": GOOD[:-1],
    "a batch that is too long": bytes([GOOD[0], GOOD[1] + 1]) + INNER,
    "an offset in two bytes": GOOD + b"\x12\x03\x08\x80\x00",
    "a length in two bytes": bytes([0x12, len(INNER) | 0x80, 0]) + INNER,
    "a tag in two bytes": b"\x92\x00" + GOOD[1:],
    "an offset twice in one batch": GOOD + b"\x12\x04\x08\x01\x08\x02",
    "an offset of another type": GOOD + b"\x12\x02\x0a\x00",
    "an id twice": bytes([0x12, len(INNER) + 3, 0x12, len(SAMPLE) + 3]) + SAMPLE + b"\x0a\x01b",
    "a field of 0": GOOD + b"\x02\x00",
    "a number without an end": GOOD + b"\x12\x0b\x08" + b"\xff" * 10,
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_protobuf_would_not_write_for_a_plain_batch_is_declined(
    intake: Intake, name: str
) -> None:
    assert intake.read(UNUSUAL[name]) is None
    assert intake.read(GOOD) is not None


@given(message=st.lists(plain_samples, min_size=1, max_size=3), at=st.integers(0, 255))
def test_another_hash_is_declined(intake: Intake, message: list[Sample], at: int) -> None:
    batch = write_batch(message, 0)
    assert batch.content_hash == content_hash(map(write_sample, message))
    wrong = bytearray(batch.content_hash)
    wrong[at // 8] ^= 1 << at % 8
    assert intake.read(sent(batch)) is not None
    batch.content_hash = bytes(wrong)
    assert intake.read(sent(batch)) is None


EDGES = bytes.fromhex("00207f808f909fa0bfc0c1c2dfe0edeff0f4f5ff")


def sequences() -> Iterator[bytes]:
    """Two bytes of any kind; three and four of which the others stand at the edges of ranges."""
    pairs = [bytes([first, second]) for first in range(256) for second in range(256)]
    yield from pairs
    leads = [bytes([first, second]) for first in range(0xDF, 0xF8) for second in EDGES]
    for lead in leads:
        for third in EDGES:
            yield lead + bytes([third])
            yield from (lead + bytes([third, fourth]) for fourth in EDGES)


@pytest.mark.parametrize("name", ["utf8_fast", "utf8_plain"])
def test_a_text_is_one_to_python_too(name: str) -> None:
    takes: Callable[[bytes, int], int] = ctypes.CDLL(str(LIBRARY))[name]
    chance = random.Random(0)
    for sequence in sequences():
        whole = b"x" * chance.randrange(34) + sequence + "é".encode() * chance.randrange(2)
        try:
            right = b"\0" not in whole and bool(whole.decode())
        except UnicodeDecodeError:
            right = False
        assert bool(takes(whole, len(whole))) == right, whole


LARGE: Bounds = (Limits(), 1024, 8 << 10)


def test_batches_of_a_usual_size_are_told_by_many_threads_at_once() -> None:
    chance = random.Random(0)
    intake = Intake.load(*LARGE)
    assert intake is not None
    sizes = [1, 100, 8 << 10, (8 << 10) + 1, 40_000, APART_BYTES]
    parts = [Part("image", STARTS["png"] + chance.randbytes(size), "png") for size in sizes]
    parts += [Part("text", ("тест " * 200).encode()), Part("audio", STARTS["mp3"] + bytes(9000))]
    samples = [Sample(f"sample {at}", (part,), at) for at, part in enumerate(parts)]
    asked = [
        sent(write_batch([samples[at % 8] for at in range(n)], n)) for n in (1, 5, 6, 40, 1024)
    ]
    asked = [message for message in asked for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda message: held(intake, message, LARGE), asked))


def test_large_media_can_be_written_as_they_are(intake: Intake, tmp_path: Path) -> None:
    plain = intake.read(sent(pb.SampleBatch(samples=[text(b"x" * 40), text(b"y" * 30)])))
    assert plain is not None
    path = tmp_path / "region"
    with path.open("wb") as file:
        assert os.pwritev(file.fileno(), plain.pieces, 0) == plain.size
    assert path.read_bytes() == b"".join(plain.pieces) == b"x" * 40 + b"y" * 30


def test_where_nothing_compiles_there_is_no_intake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong.cpp"
    wrong.write_text("this is no C++")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert compiled.library(wrong) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiled.library(tmp_path / "other.cpp") is None


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
