"""Vital signs of a network while it trains: a few rows, every so many steps, and what looks wrong.

    grad_norm               norm of the step's gradient before clipping
    rank/l  deficit/l/g     effective rank of x_l; share of its directions below g * sigma_1
    rank/logits ...         the same of the logits of the alphabet that is asked for most
    rate/l                  coding rate of x_l, rows at length 1, in nats
    cosine                  mean cosine of two positions of x_L
    repetition              how often two symbols in a row are expected to be one and the same
    repetition_data         and how often they are
    entropy/l/h  sink/l/h   of a head: H / ln n, and its mass on the first symbol of the history
    share/l                 a block's share in the variance of the logits; they sum to 1
    loss/l                  nats a symbol if every block said what this one says
    maxvio/l  dead/l        of experts (training/vitals_experts.py), as are route/l and purity/l

    plateau       cosine >= 0.9 and repetition >= 3 times that of the data: papers.md 8
    collapse      effective rank of x_L below 2, or below 2 % of what there could be
    sink          a head with over nine tenths of its mass on the first symbol
    dead_expert   an expert to which the step sent no symbol
    nan           a figure that is no number

Shapes: B rows, T context, N positions, D width, H heads, A symbols of an alphabet.
Source: papers.md 6, 8 and 11.c; the thresholds are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rankspace.model import rates
from rankspace.model.network import Inputs, Network
from rankspace.model.probe import Glimpse, look
from rankspace.model.readout import Readout
from rankspace.model.scene import visible
from rankspace.ranks.vocabulary import PAD
from rankspace.training import vitals_experts
from rankspace.training.batches import Asked, Batch

ROWS = 2
"""Rows of a batch that are looked at."""

GAMMAS = (1e-1, 1e-2, 1e-3)
PLATEAU_COSINE = 0.9
PLATEAU_REPETITION = 3.0
COLLAPSED_RANK = 2.0
COLLAPSED_SHARE = 0.02
SINK_MASS = 0.9
NOISE = 1e-4
FEW = 4
"""A head that sees fewer symbols than this is not asked where it looks."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What was measured, and the names of what looks wrong."""

    figures: dict[str, float]
    warnings: tuple[str, ...]


def rows(batch: Batch, count: int) -> Batch:
    """The first rows of a batch."""
    size = batch.inputs.symbols[:count].numel()
    read = batch.inputs
    inputs = Inputs(*(x[:count] for x in (read.symbols, read.places, read.buckets, read.times)))
    asked = tuple(_first(each, size) for each in batch.asked)
    real = int((inputs.symbols != PAD).sum())
    return Batch(inputs, batch.mask[:count], tuple(a for a in asked if len(a.index)), real)


@torch.no_grad()
def vitals(network: Network, readout: Readout, batch: Batch, gate: float, norm: float) -> Vitals:
    """The vital signs on a few rows of a step; `norm` is that of its gradient."""
    few = rows(batch, ROWS)
    if not few.asked:
        return Vitals({"grad_norm": norm}, ())
    glimpses = look(network, few.inputs, few.mask)
    figures = {"grad_norm": norm} | _blocks(glimpses, few) | _heads(glimpses, few)
    figures |= _voices(network, readout, glimpses, few, gate)
    figures |= vitals_experts.figures(network, readout, glimpses, few)
    return Vitals(figures, warnings(figures))


def warnings(figures: dict[str, float]) -> tuple[str, ...]:
    """The names of what looks wrong in these figures, in a fixed order."""

    def most(name: str) -> float:
        return max((v for key, v in figures.items() if key.split("/")[0] == name), default=0.0)

    data = max(figures.get("repetition_data", 0.0), 1e-2)
    stuck = figures.get("repetition", 0.0) >= PLATEAU_REPETITION * data
    found = {
        "plateau": stuck and figures.get("cosine", 0.0) >= PLATEAU_COSINE,
        "collapse": figures.get("rank", math.inf) < figures.get("rank_least", 0.0),
        "sink": most("sink") > SINK_MASS,
        "dead_expert": most("dead") > 0,
        "nan": not all(map(math.isfinite, figures.values())),
    }
    return tuple(name for name, wrong in found.items() if wrong)


def _first(asked: Asked, size: int) -> Asked:
    kept = asked.index < size
    lists = (asked.index, asked.before, asked.targets, asked.weights, asked.sources)
    return Asked(asked.door, *(each[kept] for each in lists))


def _blocks(glimpses: Sequence[Glimpse], batch: Batch) -> dict[str, float]:
    """Ranks, rates and the cosine of states."""
    real = batch.inputs.symbols != PAD
    found: dict[str, float] = {}
    for layer, glimpse in enumerate(glimpses):
        state = glimpse.state[real].float()
        found |= _ranks(str(layer), state)
        unit = torch.nn.functional.normalize(state, dim=-1)
        found[f"rate/{layer}"] = float(rates.coding_rate(unit))
        if layer == len(glimpses) - 1:
            found["cosine"] = rates.cosine(state)
            found["rank"] = found[f"rank/{layer}"]
            found["rank_least"] = max(COLLAPSED_RANK, COLLAPSED_SHARE * min(state.shape))
    return found


def _ranks(name: str, matrix: Float[Tensor, "n d"]) -> dict[str, float]:
    if not matrix.isfinite().all():
        return {f"rank/{name}": math.nan}
    sigma = rates.singular(matrix)
    if float(sigma[0]) <= NOISE * float(matrix.norm()):  # rows that differ by rounding alone
        sigma = torch.zeros_like(sigma)
    deficits = {f"deficit/{name}/{gamma:g}": rates.deficit(sigma, gamma) for gamma in GAMMAS}
    return {f"rank/{name}": rates.effective_rank(sigma)} | deficits


def _heads(glimpses: Sequence[Glimpse], batch: Batch) -> dict[str, float]:
    """Where heads look: how widely, and how much at the first symbol of the history."""
    symbols, times = batch.inputs.symbols, batch.inputs.times
    seen = visible(batch.mask, symbols.shape[1], symbols.shape[1]).sum(-1)  # [B, 1, T]
    weight = ((symbols != PAD)[:, None] & (seen >= FEW)).float()
    total = weight.sum().clamp(min=1.0)
    first = (times == 0).float()[:, None, None]  # [B, 1, 1, T]
    found: dict[str, float] = {}
    for layer, glimpse in enumerate(glimpses):
        law = glimpse.law.float()
        wide = torch.special.entr(law).sum(-1) / seen.clamp(min=2).log()  # [B, H, T]
        sunk = (law * first).sum(-1)
        for name, each in (("entropy", wide), ("sink", sunk)):
            means = ((each * weight).sum((0, 2)) / total).tolist()
            found |= {f"{name}/{layer}/{head}": mean for head, mean in enumerate(means)}
    return found


def _voices(
    network: Network, readout: Readout, glimpses: Sequence[Glimpse], batch: Batch, gate: float
) -> dict[str, float]:
    """What each block adds and what each alone is worth; the logits' rank; repetition."""
    states = [glimpse.state.flatten(0, 1) for glimpse in glimpses]
    unembedding = network.unembedding()
    mixed, alone = network.mix(states), [network.alone(state) for state in states]
    expected = torch.full((len(mixed),), -1)
    truth = expected.clone()
    costs, symbols = [0.0] * len(states), 0
    most = max(batch.asked, key=lambda each: len(each.index))
    found: dict[str, float] = {}
    for asked in batch.asked:
        door, at = asked.door, asked.index
        for layer, level in enumerate([*alone, mixed]):
            logits = readout.logits(network, unembedding, door, level[at], asked.before, gate)
            if layer < len(alone):
                costs[layer] += float(readout.losses(logits, door, asked.targets).sum())
                continue
            expected[at], truth[at] = readout.doors[door].ids[logits.argmax(-1)], asked.targets
            if asked is most:
                found |= _ranks("logits", logits)
        symbols += len(at)
    found |= {f"loss/{layer}": cost / max(1, symbols) for layer, cost in enumerate(costs)}
    found |= block_shares(network, states, unembedding[readout.doors[most.door].ids])
    found["repetition"] = _repeats(expected, batch)
    found["repetition_data"] = _repeats(truth, batch)
    return found


def block_shares(
    network: Network, states: Sequence[Float[Tensor, "n d"]], symbols: Float[Tensor, "a d"]
) -> dict[str, float]:
    """cov(logit of a block, logit) / var(logit), over positions and symbols; none at birth.

    `symbols` are the looks of all that may stand there: rows of the unembedding.
    """
    looks = symbols - symbols.mean(0)
    parts = [
        network.norm(state) * voice for state, voice in zip(states, network.voices(), strict=True)
    ]
    if network.mouth is not None:
        parts = [network.mouth(part) for part in parts]
    whole = torch.stack(parts).sum(0) @ (looks.T @ looks)
    shares = [float((part * whole).sum()) for part in parts]
    if sum(shares) <= 0:
        return {}
    return {f"share/{layer}": share / sum(shares) for layer, share in enumerate(shares)}


def _repeats(symbols: Tensor, batch: Batch) -> float:
    """Share of pairs of neighbours in one history that are one and the same symbol."""
    grid, times = symbols.view_as(batch.inputs.times), batch.inputs.times
    pairs = (grid[:, 1:] >= 0) & (grid[:, :-1] >= 0) & (times[:, 1:] == times[:, :-1] + 1)
    same = (grid[:, 1:] == grid[:, :-1]) & pairs
    return float(same.sum() / pairs.sum().clamp(min=1))
