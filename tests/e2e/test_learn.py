"""A person's story with learning: samples in, a model out of Ray, answers; kill -9 midway."""

import io
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from rankspace.client import Client
from rankspace.errors import MalformedMedia
from rankspace.generation.request import Sampling, Target
from rankspace.media import encode
from rankspace.media.sample import Part, Sample
from rankspace.ranks.space import Space
from rankspace.store.entries import JobEvent
from rankspace.training.job import JobConfig
from tests.e2e.conftest import Server
from tests.listening import family, listeners

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]

WORDS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (250,) * 3}
WORD = Target(modality="text", role="word")
PICTURE = Target(modality="image", role="square", encoding="png")
SOUND = Target(modality="audio", role="tone", encoding="wav")
BLUE = Part("text", b"blue", role="word")
GREEDY = Sampling(greedy=True, max_symbols=12)
JOB = JobConfig(
    streams=("squares",), model="squares", size="tiny", steps=10, batch_symbols=512, context=128,
    evaluate_every=5, checkpoint_every=5, augment=False,
)  # fmt: skip
PHASES = [
    "queued", "starting", "snapshot", "codecs", "tokens", "counts", "evaluating", "training",
    "evaluating", "saving", "done",
]  # fmt: skip


def picture(colour: tuple[int, ...], seed: int) -> Part:
    noise = np.random.default_rng(seed).integers(-20, 20, (24, 24, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    return Part("image", encode.png(pixels), "png", "square")


def tone(hertz: float) -> Part:
    wave = 0.4 * np.sin(2 * np.pi * hertz * np.arange(4800) / 16_000)
    return Part("audio", encode.wav(wave.astype(np.float32)), "wav", "tone")


def samples() -> Iterator[Sample]:
    """Forty squares, each with its colour's word and tone; every fifth never trains."""
    for number in range(40):
        index = number % len(WORDS)
        word, colour = list(WORDS.items())[index]
        parts = (picture(colour, number), Part("text", word.encode(), role="word"))
        split = {"split": "valid"} if number % 5 == 0 else {}
        yield Sample(f"{word}-{number}", (*parts, tone(300 * (index + 1))), labels=split)


def fed(client: Client) -> None:
    client.create_stream("squares")
    assert client.append("squares", samples()).errors == ()


def learnt(client: Client, job: JobConfig) -> list[JobEvent]:
    """All that a job told until its end."""
    events = list(client.watch_job(client.create_job(job).job_id))
    assert events[-1].body["state"] == "succeeded", events[-1].body["message"]
    return events


def phases(events: list[JobEvent]) -> list[str]:
    """The phases, each said once."""
    told = [str(event.body["phase"]) for event in events]
    return [phase for at, phase in enumerate(told) if at == 0 or told[at - 1] != phase]


def test_what_is_streamed_in_is_learnt_and_asked_for_in_every_modality(
    server: Server, tmp_path: Path
) -> None:
    with Client(server.address) as client:
        fed(client)
        events = learnt(client, JOB)
        assert phases(events)[:7] == PHASES[:7]
        assert phases(events)[-3:] == PHASES[-3:]
        check_events(events)
        check_answers(client)
        check_conversation(client)
        learnt(client, JOB.model_copy(update={"steps": 1, "seed": 1}))
        check_release(client, tmp_path / "out")


def check_events(events: list[JobEvent]) -> None:
    """Every phase says how far it is; the last event has the figures."""
    assert all(0 <= event.body["progress"] <= 1 for event in events)
    trained = next(event.body for event in events if event.body["phase"] == "training")
    assert (trained["step"], trained["steps"]) == (10, 10)
    assert trained["source_weights"] == {"squares": 1.0}
    assert trained["symbols_per_s"] > 0
    metrics = events[-1].body["metrics"]
    assert abs(metrics["birth_loss"] - metrics["prior_cross_entropy"]) < 0.01


def check_answers(client: Client) -> None:
    """Text, a picture and a sound, each real media; how sure the model is, and a vector."""
    red = picture(WORDS["red"], 99)
    answer = client.ask([red], WORD, GREEDY, trace=True)
    assert answer.model == "squares@1"
    assert (answer.usage.prompt_parts, len(answer.traces) > 0) == (1, True)
    assert all(trace.rank == 0 and trace.kept == 1 for trace in answer.traces)
    drawn = client.ask([BLUE], PICTURE, Sampling(seed=1))
    with Image.open(io.BytesIO(drawn.data)) as image:
        assert image.format == "PNG"
    spoken = client.ask([BLUE], SOUND, Sampling(seed=1, max_symbols=30))
    wave, rate = soundfile.read(io.BytesIO(spoken.wav))
    assert (rate, len(wave) > 0, bool(np.isfinite(wave).all())) == (16_000, True, True)
    again = client.ask([BLUE], SOUND, Sampling(seed=1, max_symbols=30))
    assert again.data == spoken.data
    assert all(part.bits > 0 for part in client.score([red, BLUE]).parts)
    vectors = [np.array(client.embed([picture(WORDS[name], 7)]).vector) for name in WORDS]
    assert all(np.linalg.norm(vector) == pytest.approx(1, abs=1e-4) for vector in vectors)


def check_conversation(client: Client) -> None:
    """An answer is stopped midway, one is refused, and the session goes on."""
    with client.session("squares") as session:
        session.send(Part("text", b"green", role="word"))
        speaking = session.ask(SOUND, Sampling(beta=0.01, max_symbols=500))
        assert not next(speaking).final
        session.interrupt()
        last = list(speaking)[-1]
        assert last.usage is not None
        assert last.usage.interrupted
        session.send(Part("image", b"no picture", "png", "square"))
        with pytest.raises(MalformedMedia):
            list(session.ask(WORD, GREEDY))
        assert list(session.ask(WORD, GREEDY))[-1].final


def check_release(client: Client, out: Path) -> None:
    """Two versions: served, taken back, and taken home."""
    kinds = [
        {"modality": target.modality, "role": target.role, "encoding": ""}
        for target in (SOUND, PICTURE, WORD)
    ]
    versions = list(client.list_model_versions("squares"))
    assert [version.version for version in versions] == [2, 1]
    assert versions[0].lineage["targets"] == kinds
    assert client.get_alias("default").reference == "squares@2"
    assert client.roll_back_alias("default").reference == "squares@1"
    assert client.ask([BLUE], WORD, GREEDY).model == "squares@1"
    assert client.promote_alias("default", "squares@2").reference == "squares@2"
    client.export_model_version("default", out)
    assert Space.load(out).codecs.keys() == {"audio", "image", "text"}


def test_a_job_goes_on_after_kill_9_from_its_last_checkpoint(server: Server) -> None:
    endless = {"steps": 100_000, "patience": 0, "evaluate_every": 2, "checkpoint_every": 1}
    with Client(server.address) as client:
        fed(client)
        job = client.create_job(JOB.model_copy(update=endless)).job_id
        watching = client.watch_job(job)  # one watch, through the server's death
        assert measured(watching)["message"] == "birth"
        check_ports(server)
        killed_at = measured(watching)["step"]
        server.end(signal.SIGKILL)
        server.start()
        taken_up = next(event.body for event in watching if event.body["phase"] == "queued")
        assert "goes on from its last checkpoint" in taken_up["message"]
        assert measured(watching)["step"] >= killed_at  # and not another birth, at 0
        client.cancel_job(job)
        assert list(watching)[-1].body["state"] == "cancelled"


def check_ports(server: Server) -> None:
    """Server, driver, all of Ray and the worker: nothing of it can be reached from outside."""
    found = list(listeners(family(server.process_id, f"{server.data}/ray")))
    assert int(server.address.rpartition(":")[2]) in {each.port for each in found}
    assert len({each.process for each in found}) > 3, found
    assert [each for each in found if not each.is_loopback] == []


def measured(events: Iterator[JobEvent]) -> Mapping[str, Any]:
    """What the job tells when it measures next."""
    return next(event.body for event in events if event.body["phase"] == "evaluating")
