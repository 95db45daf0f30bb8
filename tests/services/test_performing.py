"""A worker decodes what it trains on in a process that may die of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from rankspace.media import decode
from rankspace.media.limits import Limits
from rankspace.media.sample import MODALITIES
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Wish
from rankspace.store.store import Store
from rankspace.training.job import Event
from services.cluster.performing import perform
from tests.services.local.small import JOB
from tests.worlds import part


def hear(
    _store: StoreConfig,
    _job_id: str,
    _rank: int,
    _world: int,
    _wish: Callable[[], Wish],
    decoding: decode.Decode,
) -> Iterator[Event]:
    """Decode something of everything, and compare."""
    for modality in MODALITIES:
        here, there = (
            np.asarray(getattr(found, "audio", found))
            for found in (decode.media(part(modality), Limits()), decoding(part(modality)))
        )
        assert here.tobytes() == there.tobytes()
    yield Event(phase="done", state="succeeded")


def test_a_program_is_given_the_sandbox_to_decode_with(tmp_path: Path) -> None:
    config = StoreConfig(folder=tmp_path)
    with Store.open(config) as store:
        job = store.catalogue.jobs.create("", JOB.model_dump(mode="json")).job_id
    perform(config, job, 0, 1, f"{__name__}:hear")
    with Store.open(config) as store:
        assert store.catalogue.jobs.get(job).state == "succeeded"
