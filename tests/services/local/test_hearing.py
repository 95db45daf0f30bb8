"""What a model is shown is decoded in a process that may die of it, and heard as before."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rankspace.errors import DecodeFailed, MalformedMedia
from rankspace.generation.engine import Generator
from rankspace.generation.request import SessionConfig
from rankspace.media import encode
from rankspace.media.sample import Part
from rankspace.model import folder
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from services.local.answering import Answers
from services.local.config import EngineConfig
from services.sandbox.config import SandboxConfig
from tests.model.networks import awake
from tests.worlds import part, space

PARTS = [part("image", 1), part("text", 2, "ru"), part("audio", 3), part("video", 4)]
SANDBOX = SandboxConfig(workers=1, memory_bytes_max=64 << 20)
VAST = encode.png(np.zeros((4096, 4096, 3), np.uint8))


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[Answers]:
    with Store.open(StoreConfig(folder=tmp_path / "store")) as store:
        (tmp_path / "model").mkdir()
        folder.save(tmp_path / "model", awake(), space())
        store.catalogue.models.register("model", tmp_path / "model", {})
        made = Answers(store.catalogue.models, EngineConfig(sandbox=SANDBOX))
        yield made
        made.close()


async def test_media_are_heard_as_if_decoded_in_this_process(answers: Answers) -> None:
    plain = Generator(awake(), space())
    heard = await answers.embed("model", PARTS)
    assert np.allclose(heard.vector, plain.embed(PARTS), atol=1e-6)
    scores = (await answers.score("model", PARTS)).parts
    assert [one.symbols for one in scores] == [one.symbols for one in plain.score(PARTS)]


async def test_what_kills_a_decoder_is_a_refusal_and_the_session_goes_on(answers: Answers) -> None:
    session = await answers.open(SessionConfig(model="model"))
    with pytest.raises((DecodeFailed, MalformedMedia)):
        await session.hear(Part("image", VAST))
    with pytest.raises(MalformedMedia):
        await session.hear(Part("image", PARTS[0].data[:-20]))
    for each in PARTS:
        await session.hear(each)
    await session.close()
