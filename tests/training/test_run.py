"""A job from streams in a real store to a registered model that answers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rankspace.errors import NotFound, Refused
from rankspace.generation.engine import Generator
from rankspace.generation.request import Sampling, Target
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.entries import ModelVersion, Wish
from rankspace.store.store import Store
from rankspace.training.job import Event, JobConfig
from rankspace.training.run import run
from tests.training.corpus import CONFIG, fill
from tests.worlds import part

MEDIA = CONFIG.model_copy(update={"streams": ("words", "media"), "weights": {"media": 2.0}})


def filled(folder: Path) -> StoreConfig:
    found = StoreConfig(folder=folder)
    with Store.open(found) as store:
        fill(store, "words")
        fill(store, "media", 12, media=True)
        store.log.create("empty")
    return found


@pytest.fixture
def config(tmp_path: Path) -> StoreConfig:
    return filled(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoreConfig, str, list[Event]]:
    """A store, a job over all its media that was left alone, and what it reported."""
    torch.set_num_threads(1)  # a fixture of a module comes before those of its tests
    config = filled(tmp_path_factory.mktemp("trained"))
    job_id = submit(config, MEDIA)
    return config, job_id, done(config, job_id)


def submit(config: StoreConfig, job: JobConfig) -> str:
    with Store.open(config) as store:
        return store.catalogue.jobs.create("", job.model_dump(mode="json")).job_id


def done(config: StoreConfig, job_id: str, wish: Callable[[], Wish] = lambda: "run") -> list[Event]:
    return list(run(config, job_id, 0, 1, wish))


def model(config: StoreConfig, reference: str = "default") -> ModelVersion:
    with Store.open(config) as store:
        found = store.catalogue.models.resolve(reference)
        store.catalogue.models.verify(found)
        return found


def test_a_job_ends_in_a_model_that_answers(
    trained: tuple[StoreConfig, str, list[Event]],
) -> None:
    config, job_id, events = trained
    phases = list(dict.fromkeys(event.phase for event in events))
    assert phases == [
        "snapshot", "codecs", "tokens", "counts", "evaluating", "training", "saving", "done",
    ]  # fmt: skip
    assert (events[-1].state, events[-1].message) == ("succeeded", "registered as model@1")
    found = model(config, "model@1")
    assert found.lineage["job"] == job_id
    assert found.lineage["config"] == MEDIA.model_dump(mode="json")
    assert [s["stream"] for s in found.lineage["snapshot"]["sources"]] == ["words", "media"]
    assert found.lineage["metrics"] == events[-1].metrics
    assert found.lineage["skipped_parts"] == 0
    session = Generator.load(found.folder).session()
    session.hear(Part("text", "кот ".encode(), role="en"))
    deltas = list(session.speak(Target(modality="image"), Sampling(greedy=True)))
    assert deltas[-1].final
    assert deltas[-2].data.startswith(b"\x89PNG")


def test_a_job_that_was_paused_ends_in_the_same_model(
    trained: tuple[StoreConfig, str, list[Event]],
) -> None:
    config, _, at_once = trained
    assert model(config).reference == at_once[-1].message.split()[-1] == "model@1"
    job_id, begun = submit(config, MEDIA), False

    def wish() -> Wish:
        return "pause" if begun else "run"

    events = []
    for event in run(config, job_id, 0, 1, wish):
        begun = event.phase == "evaluating"
        events.append(event)
    assert events[-1].state == "paused"
    with Store.open(config) as store:  # what comes later is not learnt from
        store.log.append("words", None, [Sample("later", (Part("text", b"zzz"),))])
    assert done(config, job_id)[-1].state == "succeeded"
    assert model(config).reference == "model@2"
    assert model(config).files == model(config, "model@1").files


@pytest.mark.parametrize("phase", ["codecs", "counts"])
def test_a_job_stops_while_it_prepares(config: StoreConfig, phase: str) -> None:
    job_id, seen = submit(config, CONFIG.model_copy(update={"streams": ("words",)})), ""

    def wish() -> Wish:
        return "cancel" if seen == phase else "run"

    for event in run(config, job_id, 0, 1, wish):
        seen = event.phase
    assert event.state == "cancelled"
    with pytest.raises(NotFound):
        model(config)


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        (("empty",), "hold nothing to learn from"),
        (("words", "empty"), "nothing to train on in empty"),
    ],
)
def test_an_empty_stream_is_refused(
    config: StoreConfig, streams: tuple[str, ...], message: str
) -> None:
    job_id = submit(config, CONFIG.model_copy(update={"streams": streams}))
    with pytest.raises(Refused, match=message):
        done(config, job_id)


def test_an_alias_moves_only_if_one_is_named(config: StoreConfig) -> None:
    job = CONFIG.model_copy(
        update={"streams": ("words",), "alias": "", "steps": 2, "model": "mine"}
    )
    done(config, submit(config, job))
    assert model(config, "mine@1").name == "mine"
    with pytest.raises(NotFound):
        model(config)


def test_what_cannot_be_read_is_left_out_and_counted(config: StoreConfig) -> None:
    with Store.open(config) as store:
        store.log.append("words", None, [Sample("broken", (Part("image", b"no picture"),))])
    done(config, submit(config, CONFIG.model_copy(update={"streams": ("words",), "steps": 2})))
    assert model(config).lineage["skipped_parts"] == 1


def test_a_modality_that_no_codec_learnt_is_left_out(config: StoreConfig) -> None:
    with Store.open(config) as store:
        held_out = Sample("seen", (part("image"),), labels={"split": "valid"})
        store.log.append("words", None, [held_out])
    events = done(
        config, submit(config, CONFIG.model_copy(update={"streams": ("words",), "steps": 2}))
    )
    assert events[-1].state == "succeeded"
    assert not (model(config).folder / "image.json").exists()
