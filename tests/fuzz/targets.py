"""What a fuzzer may throw bytes at: every parser of ours that meets what strangers wrote.

A target takes bytes and returns, or raises a refusal: an error of `rankspace.errors` in words that
can be printed, without an address. Anything else is a finding, and so is more than a few seconds.
"""

import tarfile
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from rankspace.errors import InvalidInput, NotBuilt, NotFound
from rankspace.media import encode, magic
from rankspace.media.limits import Limits
from rankspace.media.probe import check_form, probe
from rankspace.media.sample import MODALITIES, Part
from rankspace.media.strip.whole import strip
from rankspace.v1 import generation_pb2, ingestion_pb2, media_pb2, training_pb2
from rankspace.wire import generation, growing, ingestion, media, training
from rankspace.wire.intake import Intake
from rankspace.wire.names import read_name, read_page
from services.readers import ReaderLimits, read_manifest, read_webdataset
from services.sandbox.messages import (
    Nonsense,
    read_changed,
    read_decoded,
    read_open,
    read_refused,
    unpacked,
)
from tests.wire.ordinary import SMALL as SMALL_BATCHES
from tests.wire.ordinary import held, messages
from tests.worlds import part, picture, tone

LIMITS = Limits()
SMALL = ReaderLimits(file_bytes_max=1 << 20, json_bytes_max=1 << 16)
Kind = TypeVar("Kind", bound=Message)
REFUSALS = (InvalidInput, NotBuilt, NotFound)


def headers(data: bytes) -> None:
    """What a file is, and what its header says; the first byte is the modality."""
    modality = MODALITIES[data[0] % len(MODALITIES)]
    magic.sniff(data[1:])
    probe(Part(modality, data[1:]), LIMITS)


def raw(data: bytes) -> None:
    """PCM of any rate and channels."""
    kind, high, low, channels = data[:4].ljust(4, b"\0")
    encoding = list(magic.RAW)[kind % 2]
    probe(Part("audio", data[4:], encoding, "", high << 8 | low, channels), LIMITS)


def sample(data: bytes) -> None:
    """A sample off the wire; what is taken goes back onto it unchanged."""
    read = media.read_sample(parsed(media_pb2.Sample(), data))
    check_form(read, LIMITS)
    assert media.read_sample(media.write_sample(read)) == read


def append(data: bytes) -> None:
    """A message of a writer."""
    message = parsed(ingestion_pb2.AppendSamplesRequest(), data)
    ingestion.check_hash(message.batch)
    ingestion.read_offset(message.batch)
    list(growing.named(message.batch))
    read_name("streams", message.setup.stream, "setup.stream")


def plain(data: bytes) -> None:
    """The same, as the native intake tells it: beside the ordinary way, byte for byte."""
    if native := _native():
        held(native, data)


def piece(data: bytes) -> None:
    """A piece of a growing medium."""
    step = growing.read_step(parsed(media_pb2.MediaPiece(), data), 1 << 20, 1 << 16)
    assert growing.read_step(growing.write_step(step), 1 << 20, 1 << 16) == step


def read(data: bytes) -> None:
    """What a reader, a page or a session asks for."""
    ingestion.read_filter(parsed(ingestion_pb2.ReadFilter(), data))
    read_page(parsed(ingestion_pb2.ListStreamsRequest(), data))
    training.read_config(parsed(training_pb2.JobConfig(), data))


def turn(data: bytes) -> None:
    """A message to a session."""
    message = parsed(generation_pb2.GenerateRequest(), data)
    if message.HasField("setup"):
        generation.read_setup(message.setup)
    generation.read_turn(message)


def tar(data: bytes) -> None:
    """A WebDataset."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(data)
        file.flush()
        list(read_webdataset(Path(file.name), SMALL))


def lines(data: bytes) -> None:
    """A manifest."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(data)
        file.flush()
        list(read_manifest(Path(file.name), SMALL))


def answer(data: bytes) -> None:
    """What a process that decodes might say, were it taken over; the first byte is the modality."""
    asked = Part(MODALITIES[data[0] % len(MODALITIES)], data)
    for read in (
        lambda said: read_open(said, 3),
        lambda said: read_refused(said, 3),
        lambda said: read_changed(said, [asked] * 3, memoryview(data * 9)),
        lambda said: read_decoded(said, asked, memoryview(data * 9)),
    ):
        with suppress(Nonsense):
            read(unpacked(data[1:]))


def bare(data: bytes) -> None:
    """A file to be stripped of its metadata; the first byte is the modality."""
    found = strip(Part(MODALITIES[data[0] % len(MODALITIES)], data[1:]))
    assert strip(found) is found


_ALL = (
    headers, raw, sample, append, plain, piece, read, turn, tar, lines, answer, bare,
)  # fmt: skip
TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {each.__name__: each for each in _ALL}
)


def parsed(message: Kind, data: bytes) -> Kind:
    """The message in these bytes; gRPC refuses what is none before any of our code runs."""
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise InvalidInput("not a message") from error
    return message


def tried(name: str, data: bytes) -> str:
    """How a target ends: "" or the class of its refusal; raises what is a finding.

    The target "any" is the one that the first byte names.
    """
    if name == "any" and data:
        name, data = list(TARGETS)[data[0] % len(TARGETS)], data[1:]
    if not data:
        return ""
    try:
        TARGETS[name](data)
    except REFUSALS as error:
        words = error.message
        assert words.isprintable(), words
        assert " at 0x" not in words, words
        return type(error).__name__
    return ""


def seeds(name: str) -> list[bytes]:
    """Right input for a target, for a fuzzer to begin with."""
    if name == "any":
        return [bytes([at]) + seed for at, one in enumerate(TARGETS) for seed in _right()[one]]
    return _right()[name]


@cache
def _native() -> Intake | None:
    return Intake.load(*SMALL_BATCHES)


@cache
def _right() -> dict[str, list[bytes]]:
    wave, pixels = tone(300, 0.05), picture(1)
    sounds = [getattr(encode, name)(wave) for name in ("wav", "flac", "ogg", "opus", "mp3")]
    pictures = [getattr(encode, name)(pixels) for name in ("png", "jpeg", "webp")]
    films = [getattr(encode, name)([pixels, pixels], 2) for name in ("gif", "mp4", "webm")]
    whole = media_pb2.Sample(sample_id="a", parts=map(media.write_part, map(part, MODALITIES)))
    batch = ingestion_pb2.AppendSamplesRequest(batch=ingestion_pb2.SampleBatch(samples=[whole]))
    setup = ingestion_pb2.AppendSamplesRequest(setup=ingestion_pb2.AppendSetup(stream="streams/a"))
    begin = media_pb2.MediaPiece(media_id="m", begin=media_pb2.MediaBegin())
    ask = generation_pb2.GenerateRequest(setup=generation_pb2.GenerateSetup(model="models/a"))
    texts = b'{"sample_id": "a", "parts": [{"text": "b", "role": "en"}]}\n'
    return {
        "headers": [
            *(bytes([1]) + data for data in sounds),
            *(bytes([2]) + data for data in pictures),
            bytes([3]) + encode.gif([pixels, pixels], 2),
        ],
        "raw": [bytes([0, 62, 128, 1]) + encode.pcm_s16le(wave)],
        "sample": [whole.SerializeToString()],
        "append": [batch.SerializeToString(), setup.SerializeToString()],
        "plain": messages(),
        "piece": [begin.SerializeToString()],
        "turn": [ask.SerializeToString()],
        "read": [ingestion_pb2.ReadFilter(roles=["en"], labels={"a": "b"}).SerializeToString()],
        "tar": [_packed({"a.txt": b"x", "a.json": b'{"labels": {}}', "b.png": pictures[0]})],
        "lines": [texts, texts * 3],
        "answer": [
            b'\2{"open":[0,2]}',
            b'\2{"changed":[[1,[9]]]}',
            b'\2{"shape":[2,2,3]}',
            b'\1{"shape":[5]}',
            b'\3{"times_us":[0,5],"shape":[1,2,3],"sound":2}',
            b'\0{"refused":[[1,{"reason":"MALFORMED_MEDIA","message":"a","field":"data"}]]}',
        ],
        "bare": [
            *(bytes([1]) + data for data in sounds),
            *(bytes([2]) + data for data in pictures),
            *(bytes([3]) + data for data in films),
        ],
    }


def _packed(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packing:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packing.addfile(info, BytesIO(data))
    return out.getvalue()
