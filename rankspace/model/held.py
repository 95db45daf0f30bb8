"""The controller holds what a config says it holds: ln beta <- ln beta + eta (H - tau).

    kind        the law whose entropy H is measured             outcomes N       tau
    attention   what a head looks at, one beta a head           symbols seen     share * mean ln n
    gate        a gate open or shut, one beta a channel         2                share * ln 2
    router      which expert, one beta a block                  experts E        share * ln E
    output      the next symbol, one beta                       the alphabet A   share * mean ln A

Each is a law p_beta = softmax(beta z), so its entropy falls as ln beta rises, and so does the mean
over positions: fact 1 and the rate of fact 2 hold for the mean (rankspace/beta.py).

Shapes: B batch, T time, H heads, F channels, E experts, A symbols of an alphabet.
Source: our formalisation, docs/theory.md, "One beta".
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rankspace.beta import Controller
from rankspace.model.network import Inputs, Network
from rankspace.model.probe import Glimpse, look
from rankspace.model.scene import visible
from rankspace.ranks.vocabulary import PAD

LEAST = 1e-3
"""Least target in nats: over one outcome there is nothing to hold."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The entropy of the laws that one parameter sharpens."""

    log_beta: nn.Parameter
    entropy: Float[Tensor, "*h"]
    """In nats, of the shape of the parameter."""

    target: float
    outcomes: int


@torch.no_grad()
def measure(
    network: Network,
    inputs: Inputs,
    mask: Bool[Tensor, "b 1 t t"] | None,
    odds: Sequence[Float[Tensor, "n _"]],
) -> list[Measured]:
    """All that the config says is held, on these inputs; `odds` are logits over whole alphabets."""
    hold = network.config.hold
    glimpses = look(network, inputs, mask) if hold.keys() - {"output"} else []
    real = inputs.symbols != PAD
    found: list[Measured] = []
    for kind, share in hold.items():
        laws = _OF[kind](glimpses, real, mask, odds)
        for log_beta, (entropy, largest, outcomes) in zip(network.held(kind), laws, strict=True):
            target = max(LEAST, share * largest)
            found.append(Measured(log_beta, entropy, target, max(2, outcomes)))
    return found


@torch.no_grad()
def control(found: Sequence[Measured]) -> None:
    """One step of the controller for each."""
    for each in found:
        controller = Controller(target=each.target, outcomes=each.outcomes)
        old, entropies = each.log_beta.flatten().tolist(), each.entropy.flatten().tolist()
        moved = [controller.step(beta, h) for beta, h in zip(old, entropies, strict=True)]
        each.log_beta.copy_(torch.tensor(moved).view_as(each.log_beta))


Law = tuple[Tensor, float, int]
"""Entropy, the largest it can be, outcomes."""


def _attention(
    glimpses: Sequence[Glimpse], real: Tensor, mask: Tensor | None, odds: Sequence[Tensor]
) -> Iterator[Law]:
    for glimpse in glimpses:
        seen = visible(mask, real.shape[1], real.shape[1]).sum(-1).expand(len(real), 1, -1)
        weight = (real[:, None] & (seen > 1)).float()  # [B, 1, T]
        total = weight.sum().clamp(min=1.0)
        entropy = (torch.special.entr(glimpse.law.float()).sum(-1) * weight).sum((0, 2)) / total
        largest = float((seen.float().log() * weight).sum() / total)
        yield entropy, largest, int(seen.max())


def _gate(
    glimpses: Sequence[Glimpse], real: Tensor, mask: Tensor | None, odds: Sequence[Tensor]
) -> Iterator[Law]:
    for glimpse in glimpses:
        if glimpse.gate is not None:
            p = glimpse.gate[real].float()
            entropy = (torch.special.entr(p) + torch.special.entr(1 - p)).mean(0)
            yield entropy, math.log(2), 2


def _router(
    glimpses: Sequence[Glimpse], real: Tensor, mask: Tensor | None, odds: Sequence[Tensor]
) -> Iterator[Law]:
    for glimpse in glimpses:
        if glimpse.routes is not None:
            p = glimpse.routes[real]
            yield torch.special.entr(p).sum(-1).mean(), math.log(p.shape[-1]), p.shape[-1]


def _output(
    glimpses: Sequence[Glimpse], real: Tensor, mask: Tensor | None, odds: Sequence[Tensor]
) -> Iterator[Law]:
    rows = max(1, sum(map(len, odds)))
    entropy = sum((torch.special.entr(each.softmax(-1)).sum() for each in odds), torch.zeros(()))
    largest = sum(len(each) * math.log(each.shape[-1]) for each in odds) / rows
    yield entropy / rows, largest, max((each.shape[-1] for each in odds), default=2)


_OF = {"attention": _attention, "gate": _gate, "router": _router, "output": _output}
