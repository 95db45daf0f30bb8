"""What cannot be read off the wire is refused, and the refusal names the field."""

from typing import Any

import pytest

from rankspace.errors import InvalidConfig, InvalidInput, NotBuilt
from rankspace.media.sample import Part
from rankspace.v1 import generation_pb2, ingestion_pb2, media_pb2, models_pb2, training_pb2
from rankspace.wire import generation, ingestion, media, models, training
from rankspace.wire.names import read_page, read_reference

TURN = generation_pb2.GenerateRequest
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "an empty part": (lambda: media.read_part(media_pb2.Part()), InvalidInput, "part"),
    "an unknown encoding": (
        lambda: media.read_part(media_pb2.Part(image=media_pb2.Image(encoding=99))),  # type: ignore[arg-type]
        InvalidInput, "part.encoding",
    ),
    "a negative rate": (
        lambda: media.read_part(media_pb2.Part(audio=media_pb2.Audio(rate_hz=-1)), "parts[2]"),
        InvalidInput, "parts[2].rate_hz",
    ),
    "growing media": (
        lambda: media.read_part(media_pb2.Part(growing=media_pb2.GrowingMedia())), NotBuilt, "part",
    ),
    "a picture with a rate": (
        lambda: media.write_part(Part("image", rate_hz=8000)), InvalidInput, "rate_hz",
    ),
    "a bare stream name": (
        lambda: training.read_config(training_pb2.JobConfig(streams=["digits"])),
        InvalidInput, "config.streams[0]",
    ),
    "too many steps": (
        lambda: training.read_config(training_pb2.JobConfig(streams=["streams/a"], steps=0)),
        InvalidConfig, "config.steps",
    ),
    "a negative offset": (
        lambda: ingestion.read_offset(ingestion_pb2.SampleBatch(offset=-1)),
        InvalidInput, "batch.offset",
    ),
    "a negative page": (
        lambda: read_page(ingestion_pb2.ListStreamsRequest(page_size=-1)),
        InvalidInput, "page_size",
    ),
    "a model without a version": (
        lambda: models.read_alias(models_pb2.Alias(model_version="models/a")),
        InvalidInput, "model_version",
    ),
    "a wrong collection": (lambda: read_reference("streams/a"), InvalidInput, "name"),
    "a second setup": (
        lambda: generation.read_turn(TURN(setup=generation_pb2.GenerateSetup())),
        InvalidInput, "setup",
    ),
    "a piece": (
        lambda: generation.read_turn(TURN(piece=media_pb2.MediaPiece())), NotBuilt, "piece",
    ),
    "an empty turn": (lambda: generation.read_turn(TURN()), InvalidInput, "request"),
    "an ask for nothing": (
        lambda: generation.read_turn(TURN(ask=generation_pb2.Ask())),
        InvalidInput, "ask.target.modality",
    ),
    "a beta of zero": (
        lambda: generation.read_turn(TURN(ask=generation_pb2.Ask(
            target=generation_pb2.Target(modality=media_pb2.MODALITY_TEXT),
            sampling=generation_pb2.Sampling(beta=0)))),
        InvalidConfig, "ask.sampling.beta",
    ),
    "a session resumed": (
        lambda: generation.read_setup(generation_pb2.GenerateSetup(resume_handle="x")),
        NotBuilt, "setup.resume_handle",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_by_its_field(case: str) -> None:
    read, kind, field = REFUSED[case]
    with pytest.raises(kind) as caught:
        read()
    assert getattr(caught.value, "field", None) == field


def test_an_unknown_setting_of_a_job_is_refused() -> None:
    message = training_pb2.JobConfig(streams=["streams/a"])
    message.settings.update({"stepz": 3})
    with pytest.raises(InvalidConfig, match="stepz"):
        training.read_config(message)


def test_a_setting_said_twice_is_refused() -> None:
    message = training_pb2.JobConfig(streams=["streams/a"])
    message.settings.update({"steps": 3})
    with pytest.raises(InvalidConfig, match="steps"):
        training.read_config(message)


def test_references_of_the_wire_are_those_of_the_library() -> None:
    assert [*map(read_reference, ("models/a/versions/3", "models/a", "aliases/b"))] == [
        "a@3", "a", "b",
    ]  # fmt: skip
