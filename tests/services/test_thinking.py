"""The threads that think: as many as the config says, each on as many cores."""

import asyncio
import threading
from pathlib import Path

from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from services.local.answering import Answers
from services.local.config import EngineConfig


async def test_every_thread_that_thinks_keeps_to_its_cores(tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def cores() -> int:
        import torch

        together.wait(20)  # so that no thread answers twice
        return torch.get_num_threads()

    with Store.open(StoreConfig(folder=tmp_path)) as store:
        for wanted in (2, 1):
            config = EngineConfig(generation_workers=2, cores_per_worker=wanted)
            answers = Answers(store.catalogue.models, config)
            found = tuple(await asyncio.gather(answers.think(cores), answers.think(cores)))
            assert found == (wanted, wanted)
            answers.close()
