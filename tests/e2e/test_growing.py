"""A recording that goes on while its server is killed."""

import signal
from collections.abc import Iterator

from rankspace.client import Client, Growing
from rankspace.media.sample import Part, Sample
from tests.e2e.conftest import Server

PCM = bytes(range(256)) * 8000
CHUNK = 50_000


def recording(server: Server, killed_at: tuple[int, ...]) -> Iterator[bytes]:
    """Sound as it comes; at these chunks the server is killed and started again."""
    for at, start in enumerate(range(0, len(PCM), CHUNK)):
        if at in killed_at:
            server.end(signal.SIGKILL)
            server.start()
        yield PCM[start : start + CHUNK]


def spoken(source: Iterator[bytes]) -> Sample:
    sound = Growing("audio", source=source, encoding="pcm_s16le", rate_hz=48_000, channels=1)
    return Sample("talk", (sound, Part("text", b"said")))


def test_a_recording_survives_kills_of_the_server(server: Server) -> None:
    with Client(server.address) as client:
        client.create_stream("live")
        client.create_stream("whole")
        summary = client.append("live", [spoken(recording(server, (7, 25)))])
        assert (summary.samples, summary.rejected) == (1, 0)
        whole = Part("audio", PCM, "pcm_s16le", "", 48_000, 1)
        client.append("whole", [Sample("talk", (whole, Part("text", b"said")))])
        assert client.get_stream("live").digest == client.get_stream("whole").digest
