"""The loss over one alphabet in one pass: cross-entropy, its gradient in place of the logits.

    z = beta (U m + ln p0(.)),   nats = ln sum exp z - z_target,   loss = sum w nats
    dz = w (softmax z - [target]),   dm = beta dz U,   dU = beta dz^T m,   dbeta = <dz, z> / beta

The formulas of readout.py where the memory's context is silent. Logits are kept in bfloat16 once
and never in float32; sums are float32. Products come in few shapes, as there.

Shapes: N positions that share an alphabet, A its size, D width.
Source: docs/theory.md definition 4; the gradient made beside the loss: Liger, arXiv 2410.10989
(recalled).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankspace.model.native import Passes, weigh

ROUND = 128
"""Rows of a product are filled up to a multiple of this."""

ALPHABET_MAX = 65_536
"""Largest alphabet that the pass holds."""


class _Cross(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, passes: Passes, symbols: Tensor, mixed: Tensor, beta: Tensor, asked: Any
    ) -> tuple[Tensor, Tensor]:
        unigram, targets, weights = asked
        with torch.autocast("cpu", enabled=False):
            looks, said, sharp = symbols.bfloat16(), mixed.bfloat16(), float(beta)
            logits = said @ (looks * sharp).T
            nats, slope = torch.empty_like(weights), torch.zeros((), dtype=torch.float64)
            passes.run(
                "cross", *logits.shape, logits, unigram, sharp, targets, weights, nats, slope
            )
        ctx.save_for_backward(logits, looks, said, slope.to(beta.dtype))
        ctx.passes, ctx.sharp, ctx.kinds = passes, sharp, (symbols.dtype, mixed.dtype)
        ctx.mark_non_differentiable(nats)
        return nats @ weights, nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
        logits, looks, said, slope = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            dmixed, dsymbols = logits @ looks, weigh(ctx.passes, logits, said)
        scale, (looked, mixed) = grad * ctx.sharp, ctx.kinds
        return None, dsymbols.to(looked) * scale, dmixed.to(mixed) * scale, slope * grad, None


def cross(
    passes: Passes,
    symbols: Float[Tensor, "a d"],
    mixed: Float[Tensor, "n d"],
    beta: Float[Tensor, ""],
    asked: tuple[Float[Tensor, "a"], Int[Tensor, "n"], Float[Tensor, "n"]],
) -> tuple[Float[Tensor, ""], Float[Tensor, "n"]]:
    """The weighted loss, and the nats of each position without a gradient.

    `asked` is the law without context as ln p0, the targets in the alphabet, and their weights.
    """
    unigram, targets, weights = asked
    more, count = -len(mixed) % ROUND, len(mixed)
    told = (unigram, F.pad(targets, (0, more)), F.pad(weights, (0, more)))
    loss, nats = _Cross.apply(passes, symbols, F.pad(mixed, (0, 0, 0, more)), beta, told)
    return loss, nats[:count]
