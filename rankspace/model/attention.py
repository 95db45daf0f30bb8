"""Causal attention with an inverse temperature per head.

    p = softmax(beta_h * <q/|q|, k/|k|>),     beta_h = exp(s_h), learned; 1.2 sqrt(K) at birth

Queries and keys are centred and of length sqrt(K), so the score is a cosine and beta alone says
how sharp a head looks. LayerNorm does it: the one norm that is a single kernel on a CPU.
The plain form is softmax(<q, k> / sqrt(K)).

Shapes: B batch, T new symbols, S all symbols seen, H heads, K head width, D width.
Source: Henry et al., "Query-Key Normalization", 2020 (recalled); papers.md 11.b.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rankspace.model.cache import LayerCache
from rankspace.model.positions import rotate
from rankspace.model.presets import NetworkConfig

PLAIN_MAX = 512
"""Up to so many symbols a written-out table of scores trains faster than the fused kernel, whose
backward on a CPU does without the matrix units (docs/log.md, 2026-11-22)."""


class Attention(nn.Module):
    """Every symbol looks back at what it may see."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.log_beta = None
        if config.query_key_norm:
            birth = math.log(1.2 * math.sqrt(config.head_width))
            self.log_beta = nn.Parameter(torch.full((config.heads,), birth))

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        turns: Float[Tensor, "2 b 1 t quarter"] | None,
        mask: Bool[Tensor, "b 1 t s"] | None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix. Without a mask, plain causal order holds; a cache holds what came before x."""
        parts = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)  # [B, H, T, K]
        scale = None
        if self.log_beta is not None:
            q = F.layer_norm(q, q.shape[-1:]) * self.log_beta.exp().to(q.dtype)[:, None, None]
            k = F.layer_norm(k, k.shape[-1:])
            scale = 1.0 / q.shape[-1]  # both norms are sqrt(K), so the score is beta * cosine
        if turns is not None:
            q, k = rotate(q, turns), rotate(k, turns)
        if cache is not None:
            k, v = cache.extend(k, v)
        new, seen = q.shape[2], k.shape[2]
        if mask is None and 1 < new < seen:  # is_causal would count from the first symbol held
            mask = torch.ones(1, 1, new, seen, dtype=torch.bool).tril(seen - new)
        if mask is not None and torch.is_grad_enabled() and k.shape[2] <= PLAIN_MAX:
            return self.out(_plain(q, k, v, mask, scale).transpose(1, 2).flatten(2))
        causal = mask is None and new > 1
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scale)
        return self.out(y.transpose(1, 2).flatten(2))


def _plain(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b h s k"],
    v: Float[Tensor, "b h s k"],
    mask: Bool[Tensor, "b 1 t s"],
    scale: float | None,
) -> Float[Tensor, "b h t k"]:
    """Attention with its table of scores written out."""
    scores = (q @ k.transpose(2, 3)) * (scale or q.shape[-1] ** -0.5)  # [B, H, T, S]
    return scores.masked_fill(~mask, -torch.inf).softmax(-1).to(v.dtype) @ v
