"""Two workers of a real Ray learn what one does, also how far a memory is to be trusted.

Not to the bit. The step's documents lie in other rows where two share it, so sums and products in
sixteen bits round otherwise: 3e-6 of the weights after one step in float32. And Muon gives every
direction of a gradient steps of one size, also those that are hardly more than rounding, so what
differs grows: to a hundredth of the weights in 14 steps.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from rankspace.store.config import StoreConfig
from rankspace.store.entries import ENDED, Job
from rankspace.store.store import Store
from services.cluster import ClusterConfig, RayTrainer
from tests.training.corpus import CONFIG, fill

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]

TRUSTING = {"memory": "held", "order": 4, "document": True}
JOB = CONFIG.model_copy(update={"streams": ("words", "media"), "switches": TRUSTING})
LAWS = ("trust.held.edges", "trust.held.table")
State = dict[str, torch.Tensor]


@pytest.fixture
def store() -> Iterator[Store]:
    """Phrases, and media with phrases to them; in a folder whose name is short for sockets."""
    with (
        TemporaryDirectory(prefix="rs-") as folder,
        Store.open(StoreConfig(folder=Path(folder))) as opened,
    ):
        fill(opened, "words")
        fill(opened, "media", 12, media=True)
        yield opened


async def learnt(store: Store, trainer: RayTrainer, workers: int) -> tuple[Job, list[State]]:
    """A job that so many workers share, and what the network of each has come to."""
    config = JOB.model_copy(update={"workers": workers}).model_dump(mode="json")
    job_id = store.catalogue.jobs.create("", config).job_id
    await trainer.start(job_id)
    while (job := store.catalogue.jobs.get(job_id)).state not in ENDED:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    assert job.state == "succeeded", job.last_event
    folder = store.job_folder(job_id)
    return job, [torch.load(folder / f"{rank}.pt") for rank in range(workers)]


def said(job: Job) -> dict[str, float]:
    """The figures of a job at its end."""
    event: dict[str, Any] = dict(job.last_event or {})
    losses = {"loss": event["loss"], "held_out_loss": event["held_out_loss"]}
    return {**event["metrics"], **losses, **event["source_losses"], **event["source_weights"]}


def apart(one: State, other: State) -> float:
    """How far two networks are from each other, as a share of what they are."""
    rows = [torch.cat([state[name].float().flatten() for name in one]) for state in (one, other)]
    return float((rows[0] - rows[1]).norm() / rows[0].norm())


async def test_two_workers_trust_a_memory_that_is_held_as_one_does(store: Store) -> None:
    trainer = RayTrainer(store.config, ClusterConfig(cpus=2), "tests.services.learning:learn")
    try:
        alone, (one,) = await learnt(store, trainer, 1)
        shared, (first, second) = await learnt(store, trainer, 2)
    finally:
        await trainer.close()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert one[LAWS[1]].std(0).min() > 0, "groups differ in whom they trust"
    assert 0 < apart(one, first) < 0.05
    assert float((one[LAWS[1]] - first[LAWS[1]]).abs().mean()) < 0.02
    figures = said(alone)
    assert said(shared) == pytest.approx(figures, rel=0.03)
    for name in ("birth_loss", "prior_cross_entropy"):  # before the first step nothing differs
        assert said(shared)[name] == pytest.approx(figures[name], rel=1e-6)
    for modality in ("text", "image", "audio", "video"):
        bits = f"bits_per_symbol/{modality}/"
        assert figures[f"{bits}model"] < figures[f"{bits}bigram"]
