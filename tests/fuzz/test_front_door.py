"""Whatever is sent to a real server over its socket is taken or refused in words; it goes on."""

import os
import re
import signal
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankspace.client import Client
from rankspace.errors import RankspaceError
from rankspace.media.sample import Modality, Part, Sample
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.wire.ingestion import write_batch
from tests.e2e.conftest import Server
from tests.fuzz.targets import seeds
from tests.worlds import part

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("RANKSPACE_DATA", ROOT.parent / "shared" / "data"))
ARCHIVE = DATA / "H_bad_inputs.tar.xz"
SUFFIXES: dict[str, Modality] = {
    **dict.fromkeys((".wav", ".flac", ".mp3", ".ogg"), "audio"),
    **dict.fromkeys((".txt", ".json", ".gz"), "text"),
}
LEAK = re.compile(
    r"Traceback|File \"|0x[0-9a-f]{4}|/(?:usr|tmp|work|home|root)/|\.py\b|"
    r"libav|ffmpeg|libsndfile|pillow|numpy|errno|<[A-Za-z.]+ object|Error\(",
    re.IGNORECASE,
)
RSS_KB_MAX = 600 << 10
ENDS = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.FAILED_PRECONDITION,
}
APPEND = "/rankspace.v1.IngestionService/AppendSamples"


class Watched(Server):
    """A server whose process can be looked at."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    running = Watched(tmp_path_factory.mktemp("server"))
    running.start()
    with Client(running.address) as client:
        client.create_stream("s")
    yield running
    assert running.end(signal.SIGTERM) == 0


def assert_well(server: Watched) -> None:
    """It serves, in little memory, and met no bug."""
    with Client(server.address) as client:
        at = client.get_stream("s").next_offset
        client.append("s", [Sample("good", (part("image"),))])
        assert dict(client.read("s", at))[at] == Sample("good", (part("image"),))
    bugs = [line for line in server.log().splitlines() if '"bug"' in line or "Traceback" in line]
    assert bugs == []
    status = Path(f"/proc/{server.pid}/status")
    if status.exists():
        (peak,) = re.findall(r"VmHWM:\s+(\d+)", status.read_text())
        assert int(peak) < RSS_KB_MAX


def assert_in_words(message: str) -> None:
    assert message.isprintable()
    assert not LEAK.search(message), message


@pytest.mark.skipif(not ARCHIVE.exists(), reason="RANKSPACE_DATA holds no H_bad_inputs.tar.xz")
def test_every_collected_bad_input_is_taken_or_refused(server: Watched, tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    paths = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    guesses: list[Modality] = ["image", "audio", "video", "text"]

    def samples() -> Iterator[Sample]:
        for at, path in enumerate(paths):
            data = path.read_bytes()
            modality = SUFFIXES.get(path.suffix, "image")
            yield Sample(f"right-{at}", (Part(modality, data),))
            yield Sample(f"wrong-{at}", (Part(guesses[at % 4], data),))

    with Client(server.address) as client:
        summary = client.append("s", samples())
    assert summary.samples == 2 * len(paths) > 3_400
    assert 0 < summary.rejected < summary.samples
    for error in summary.errors:
        assert_in_words(error.error.message)
    assert_well(server)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_as_a_message_are_answered(server: Watched, data: st.DataObject) -> None:
    setup = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/s"))
    right = [seed for name in ("append", "piece", "sample") for seed in seeds(name)]
    said: list[bytes] = [setup.SerializeToString()] if data.draw(st.booleans()) else []
    for _ in range(data.draw(st.integers(1, 4))):
        message = bytearray(data.draw(st.sampled_from(right) | st.binary(max_size=60)))
        for _ in range(data.draw(st.integers(0, 4)) if message else 0):
            message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
        said.append(bytes(message))
    answers, code, details = asked(server.address, said)
    for answer in answers:
        assert_in_words(answer.error.message)
        for error in answer.result.sample_errors:
            assert_in_words(error.problem.message)
    assert code in ENDS
    if code is not grpc.StatusCode.INTERNAL:  # gRPC's own words: what was sent is no message
        assert_in_words(details)


def asked(
    address: str, said: list[bytes]
) -> tuple[list[pb.AppendSamplesResponse], grpc.StatusCode, str]:
    """The answers to these messages, and how the call ended."""
    answers: list[pb.AppendSamplesResponse] = []
    with grpc.insecure_channel(address) as channel:
        open_: Any = channel.stream_stream(APPEND, response_deserializer=_answer)
        call = open_(iter(said), 30)
        with suppress(grpc.RpcError):
            answers.extend(call)
        return answers, call.code(), call.details()


def _answer(raw: bytes) -> pb.AppendSamplesResponse:
    return pb.AppendSamplesResponse.FromString(raw)


ODD = {
    "nothing": media_pb2.Part(),
    "a negative rate": media_pb2.Part(audio=media_pb2.Audio(rate_hz=-1)),
    "an unknown encoding": media_pb2.Part(image=media_pb2.Image(encoding=999, data=b"x")),  # type: ignore[arg-type]
    "many frames": media_pb2.Part(video=media_pb2.Video(frames=[media_pb2.VideoFrame()] * 5_000)),
    "a role to obey": media_pb2.Part(role="\x1b[2J", text=media_pb2.Text(utf8=b"x")),
    "a path": media_pb2.Part(growing=media_pb2.GrowingMedia(media_id="../../etc/passwd")),
}


@pytest.mark.parametrize(
    "method", ["GetStream", "CreateStream", "ReadSamples", "AppendSamples", "ListStreams"]
)
def test_bytes_that_are_no_message_are_refused_in_words(server: Watched, method: str) -> None:
    path = APPEND.replace("AppendSamples", method)
    with grpc.insecure_channel(server.address) as channel:
        open_: Any = channel.stream_stream(path)
        call = open_(iter([b"\xff" * 9]), 30)
        with pytest.raises(grpc.RpcError):
            list(call)
        assert call.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL}
        assert_in_words(call.details())
    assert_well(server)


@pytest.mark.parametrize("name", ODD)
def test_a_part_of_any_fields_is_refused_alone(server: Watched, name: str) -> None:
    good = write_batch([Sample("good", (part("text"),))], None)
    good.samples.add(sample_id="odd").parts.append(ODD[name])
    good.content_blake3 = b""
    setup = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/s"))
    with grpc.insecure_channel(server.address) as channel:
        call: Any = channel.stream_stream(
            APPEND,
            request_serializer=pb.AppendSamplesRequest.SerializeToString,
            response_deserializer=_answer,
        )
        _, answer = call(iter([setup, pb.AppendSamplesRequest(batch=good)]), timeout=30)
    problems = [error.problem for error in answer.result.sample_errors] or [answer.error]
    assert [problem.message != "" for problem in problems] == [True]
    assert_in_words(problems[0].message)


def test_the_server_is_well_after_all_that(server: Watched) -> None:
    with Client(server.address) as client, pytest.raises(RankspaceError):
        client.append("nowhere", [Sample("a", (part("text"),))])
    assert_well(server)
