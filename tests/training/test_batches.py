"""Packing: every document once, none on another; and seen as if it were alone."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankspace.model.network import Inputs
from rankspace.training.batches import Batch, pack
from rankspace.training.documents import Document, Documents
from tests.model.networks import awake
from tests.training.corpus import Kind, row
from tests.worlds import KINDS, space

CONTEXT = 64


def documents(seeds: list[int]) -> list[Document]:
    made = Documents(space(), CONTEXT)
    found = []
    for at, seed in enumerate(seeds):
        random = np.random.default_rng(seed)
        kinds = [KINDS[index] for index in random.integers(len(KINDS), size=3)]
        found.append(made.draw(at % 2, row(seed, tuple(kinds), 3 + seed % 20), random))
    return found


SEEDS = st.lists(st.integers(0, 1000), max_size=12)


def laid(batch: Batch) -> list[tuple[int, slice]]:
    """Where documents lie: a document starts wherever time is zero and something stands."""
    found = []
    for at, (times, symbols) in enumerate(
        zip(batch.inputs.times, batch.inputs.symbols, strict=True)
    ):
        starts = ((times == 0) & (symbols > 0)).nonzero()[:, 0].tolist()
        stop = int((symbols > 0).sum())
        found += [(at, slice(*pair)) for pair in pairwise([*starts, stop])]
    return found


def test_documents_are_told_apart_by_their_first_time() -> None:
    for document in documents(list(range(20))):
        assert (document.symbols > 0).all()
        assert (document.times == 0).sum() == 1


@given(SEEDS, st.integers(0, 5))
def test_every_document_is_laid_exactly_once(seeds: list[int], rows: int) -> None:
    found = documents(seeds)
    batch = pack(found, CONTEXT, rows)
    assert batch.inputs.symbols.shape[1] == CONTEXT
    assert len(batch.inputs.symbols) >= rows
    assert batch.symbols == sum(map(len, found))
    inputs = batch.inputs
    columns = (inputs.symbols, inputs.places, inputs.buckets, inputs.times)
    told = sorted(
        np.stack((d.symbols, d.places, d.buckets, d.times)).astype(np.int64).tobytes()
        for d in found
    )
    assert told == sorted(
        torch.stack([column[at, span] for column in columns]).numpy().tobytes()
        for at, span in laid(batch)
    )


@given(SEEDS)
def test_what_is_asked_is_what_the_documents_ask(seeds: list[int]) -> None:
    found = documents(seeds)
    told = sorted(
        (int(door), int(before), int(target), float(weight), document.source)
        for document in found
        for door, before, target, weight in zip(
            document.doors, document.symbols, document.targets, document.weights, strict=True
        )
        if door >= 0
    )
    batch = pack(found, CONTEXT)
    flat = batch.inputs.symbols.flatten()
    assert told == sorted(
        (asked.door, *values)
        for asked in batch.asked
        for values in zip(
            flat[asked.index].tolist(),
            asked.targets.tolist(),
            asked.weights.tolist(),
            asked.sources.tolist(),
            strict=True,
        )
    )
    assert len({asked.door for asked in batch.asked}) == len(batch.asked)
    assert all(torch.equal(asked.before, flat[asked.index]) for asked in batch.asked)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6))
def test_a_packed_document_is_read_as_if_it_were_alone(seeds: list[int]) -> None:
    network, batch = awake(), pack(documents(seeds), CONTEXT, rows=2)
    together = network.states(batch.inputs, batch.mask)[-1]
    alone = {
        document.symbols.tobytes() + document.times.tobytes(): network.states(
            (single := pack([document], CONTEXT)).inputs, single.mask
        )[-1][0, : len(document)]
        for document in documents(seeds)
    }
    assert not together.isnan().any()
    for at, span in laid(batch):
        name = batch.inputs.symbols[at, span].numpy().astype(np.int32).tobytes()
        name += batch.inputs.times[at, span].numpy().astype(np.int32).tobytes()
        torch.testing.assert_close(together[at, span], alone[name], rtol=1e-4, atol=1e-4)


@given(st.integers(0, 1000))
def test_a_branch_is_read_as_if_trunk_and_branch_were_one_part_after_the_other(seed: int) -> None:
    """Branches do not see each other: each is plain causal order behind the trunk."""
    random, network = np.random.default_rng(seed), awake()
    kinds: tuple[Kind, ...] = (("image", ""), ("text", "en"), ("text", "ru"))
    document = Documents(space(), CONTEXT).draw(0, row(seed, kinds, 12), random)
    batch = pack([document], CONTEXT)
    together = network.states(batch.inputs, batch.mask)[-1][0, : len(document)]
    for branch in range(1, int(document.branch.max()) + 1):
        own = torch.from_numpy((document.branch == 0) | (document.branch == branch))
        columns = (document.symbols, document.places, document.buckets, document.times)
        inputs = Inputs(*(torch.from_numpy(c)[own].long()[None] for c in columns))
        assert torch.equal(inputs.times[0], torch.arange(int(own.sum())))
        plain = network.states(inputs)[-1][0]
        torch.testing.assert_close(together[own], plain, rtol=1e-4, atol=1e-4)


def test_padding_asks_for_nothing() -> None:
    batch = pack([], CONTEXT, rows=3)
    assert batch.symbols == 0
    assert batch.asked == ()
    assert not awake().states(batch.inputs, batch.mask)[-1].isnan().any()
