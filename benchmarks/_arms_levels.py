"""What each block of a network of ours is worth if it has the last word.

    nats     -ln p_l of what came, p_l the law if every block said what block l says
    best     the same at the beta that makes it least: what a scale of its own would bring
    kept     sum_s min(p_l(s), p(s)), p the whole network's law: how many symbols drawn by p_l
             speculative sampling would keep (Leviathan et al. 2023; recalled)
    bits     bits a byte of the answer if reading ended here: beside the memories, where they are
             held, with shares fitted for this level, else alone
    share    of the variance of the logits (training/vitals.py)

The last level is the whole network. Shapes: N positions, A symbols, D width, L blocks.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks._arms_networks import Ours
from benchmarks._text_data import Batch, Stories
from rankspace.model.shares import Known, gathered
from rankspace.training.precision import fast
from rankspace.training.vitals import block_shares

BETAS = tuple(2.0 ** (step / 4) for step in range(-6, 7))
"""Of a level of its own: from 0.35 to 2.8."""

Figures = dict[str, float]


def table(runs: Sequence[Sequence[Figures]]) -> str:
    """Markdown of the means over runs, level by level."""
    lines = ["| block | nats alone | at its own beta | kept | bits a byte | share |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for at, level in enumerate(zip(*runs, strict=True), start=1):
        mean = {name: sum(run[name] for run in level) / len(level) for name in level[0]}
        name = str(at) if at < len(runs[0]) else "all"
        told = (f"{mean[figure]:.3f}" for figure in ("nats", "best", "kept", "bits", "share"))
        lines.append(f"| {name} | {' | '.join(told)} |")
    return "\n".join(lines)


@dataclass(slots=True)
class _Level:
    """Sums over positions."""

    nats: list[float] = field(default_factory=lambda: [0.0] * len(BETAS))
    kept: float = 0.0
    share: float = 0.0
    columns: list[tuple[Known, Tensor]] = field(default_factory=list)


@torch.no_grad()
def levels(arm: Ours, stories: Stories, context: int, rows: int) -> list[Figures]:
    """The figures of every block of an arm, then of all together, on stories it did not read."""
    network = arm.network
    network.eval()
    found = [_Level() for _ in range(len(network.layers) + 1)]
    asked = 0
    with fast():
        for batch in stories.windows(context, rows):
            asked += batch.asked
            _read(arm, batch, stories, found)
    network.train()
    return [_figures(arm, level, asked, stories.bytes) for level in found]


def _states(arm: Ours, batch: Batch) -> list[Float[Tensor, "n d"]]:
    """x_1 .. x_L where a symbol is asked for."""
    index = (batch.targets.flatten() >= 0).nonzero()[:, 0]
    return [state.flatten(0, 1)[index] for state in arm.network.states(*arm.inputs(batch.symbols))]


def _read(arm: Ours, batch: Batch, stories: Stories, found: Sequence[_Level]) -> None:
    """Add what the levels say of a batch."""
    flat, before = batch.targets.flatten(), batch.symbols.flatten()
    index = (flat >= 0).nonzero()[:, 0]
    targets, before = flat[index], before[index]
    places = batch.places.flatten()[index].numpy()
    network, states = arm.network, _states(arm, batch)
    looks = network.unembedding()[arm.readout.doors[0].ids]
    shares = block_shares(network, states, looks)
    for layer, level in enumerate(found[:-1]):  # none speaks at birth
        level.share += shares.get(f"share/{layer}", 0.0) * len(index)
    said = [*map(network.alone, states), network.mix(states)]
    whole = arm.logits(said[-1], before, 0.0).float().softmax(-1)
    for level, mixed in zip(found, said, strict=True):
        logits = arm.logits(mixed, before, 0.0).float()
        for at, nats in enumerate(_costs(logits, arm.readout.doors[0].local[targets])):
            level.nats[at] += nats
        level.kept += float(torch.minimum(logits.softmax(-1), whole).sum())
        if network.trust.held is not None:
            level.columns.append(arm.columns(mixed, before, targets, places, stories))


def _costs(logits: Float[Tensor, "n a"], came: Int[Tensor, "n"]) -> list[float]:
    """Nats of what came at every beta."""
    right = logits.gather(1, came[:, None])[:, 0]
    return [float(((beta * logits).logsumexp(-1) - beta * right).sum()) for beta in BETAS]


def _figures(arm: Ours, level: _Level, asked: int, size: int) -> Figures:
    nats = level.nats[BETAS.index(1.0)]
    held = copy.deepcopy(arm.network.trust)
    if held.held is not None:
        known, told = gathered(level.columns)
        held.held.fit(known, told)
        heard = -float(held.trusted(known, list(told.T), 0.0).double().sum())
    else:
        heard = nats
    return {
        "nats": nats / asked, "best": min(level.nats) / asked, "kept": level.kept / asked,
        "bits": heard / math.log(2) / size, "share": level.share / asked,
    }  # fmt: skip
