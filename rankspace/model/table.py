"""Attention with its table of scores written out, forward and backward, in few passes over it.

    p = softmax(q k^T + mask),  y = p v
    dv = p^T dy,   ds = p * (dp - sum_s p dp),  dp = dy v^T,   dq = ds k,   dk = ds^T q

What is masked has p = 0 and hence ds = 0, so the mask has no backward of its own; the softmax stays
in the type of its scores, where autocast would widen it and narrow it again. Equal to the plain
form but for rounding.

Shapes: B batch, H heads, T new symbols, S all symbols seen, K head width.
Source: the derivative of softmax; what passes cost on a CPU is in docs/log.md.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Table(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, hidden: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            p = (q @ k.mT).masked_fill_(hidden, -torch.inf).softmax(-1)
            ctx.save_for_backward(q, k, v, p)
            return p @ v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, p = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            grad = grad.to(p.dtype)
            ds = torch._softmax_backward_data(grad @ v.mT, p, -1, p.dtype)
            return ds @ k, ds.mT @ q, p.mT @ grad, None


def attend(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b h s k"],
    v: Float[Tensor, "b h s k"],
    mask: Bool[Tensor, "#b 1 t s"],
) -> Float[Tensor, "b h t k"]:
    """What each symbol hears; q is already scaled."""
    return _Table.apply(q.to(v.dtype), k.to(v.dtype), v, ~mask)
