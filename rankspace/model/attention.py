"""Causal attention with an inverse temperature per head.

    p = softmax(beta_h * <q/|q|, k/|k|>),     beta_h = exp(s_h), learned; 1.2 sqrt(K) at birth

Queries and keys are centred and of length sqrt(K), so the score is a cosine and beta alone says
how sharp a head looks. LayerNorm does it: the one norm that is a single kernel on a CPU.
The plain form is softmax(<q, k> / sqrt(K)).

Switches, each as above where it is off:

    length_term      beta_h(n) = beta_h ln n / ln C: over n symbols a law of one beta spreads out
                     as n grows; C is the context of training, where nothing changes
    tied             q = k = v = U_h^T x, one dictionary a head (CRATE's MSSA)
    noise_heads      out = W_O [ heads of signal ; -lambda * heads of noise ]
    value_residual   v_l <- a v_l + b v_1,   a = 1 and b = 0 at birth

Shapes: B batch, T new symbols, S all symbols seen, H heads, K head width, D width.
Source: Henry et al., "Query-Key Normalization", 2020 (recalled); papers.md 11.b. Scalable-Softmax:
arXiv 2501.19399 (second hand). MSSA: arXiv 2306.01129 (its code). Signal minus noise: arXiv
2601.15540 (second hand, our assembly). Value residual: arXiv 2410.17897.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rankspace.model.cache import LayerCache
from rankspace.model.config import NetworkConfig
from rankspace.model.positions import rotate
from rankspace.model.scene import Scene, visible
from rankspace.model.table import attend

PLAIN_MAX = 512
"""Up to so many symbols a written-out table of scores trains faster than the fused kernel, whose
backward on a CPU does without the matrix units (docs/log.md, 2026-11-22)."""

Heads = tuple[
    Float[Tensor, "b h t k"], Float[Tensor, "b h t k"], Float[Tensor, "b h t k"], float | None
]
"""Queries, keys, values and the scale of a score, None for 1/sqrt(K)."""


class Attention(nn.Module):
    """Every symbol looks back at what it may see."""

    noise: Float[Tensor, ""]
    """lambda, of layers that have heads of noise."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.quiet = config.heads - config.noise_heads
        if config.noise_heads:  # a schedule sets it; kept with the weights that learnt beside it
            self.register_buffer("noise", torch.tensor(config.noise_end))
        self.qkv = nn.Linear(config.width, (1 if config.tied else 3) * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.normed = config.query_key_norm
        self.lean = config.lean
        self.log_beta = None
        if config.query_key_norm or config.length_term:
            birth = math.log(1.2 * math.sqrt(config.head_width)) if self.normed else 0.0
            self.log_beta = nn.Parameter(torch.full((config.heads,), birth))
        self.blend = None
        if config.value_residual:
            self.blend = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(
        self, x: Float[Tensor, "b t d"], scene: Scene, cache: LayerCache | None = None
    ) -> Float[Tensor, "b t d"]:
        """Mix. Without a mask, plain causal order holds; a cache holds what came before x."""
        q, k, v, scale = self._heads(x, scene)
        if cache is not None:
            k, v = cache.extend(k, v)
        new, seen, mask = q.shape[2], k.shape[2], scene.mask
        if mask is None and 1 < new < seen:  # is_causal would count from the first symbol held
            mask = visible(None, new, seen)
        if mask is not None and torch.is_grad_enabled() and k.shape[2] <= PLAIN_MAX:
            if self.lean:
                return self._write(attend(q * (scale or q.shape[-1] ** -0.5), k, v, mask))
            return self._write(_law(q, k, mask, scale).to(v.dtype) @ v)
        causal = mask is None and new > 1
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scale)
        return self._write(y)

    def law(self, x: Float[Tensor, "b t d"], scene: Scene) -> Float[Tensor, "b h t t"]:
        """What each symbol looks at, in each head: what forward computes on the way, written out.

        For the first block it also leaves its values in the scene, as forward does.
        """
        q, k, _, scale = self._heads(x, scene)
        return _law(q, k, visible(scene.mask, q.shape[2], k.shape[2]), scale)

    def _heads(self, x: Float[Tensor, "b t d"], scene: Scene) -> Heads:
        q, k, v = self._project(x)
        if self.blend is not None:
            if scene.values is None:
                scene.values = v
            one, two = self.blend.to(v.dtype).unbind()
            v = one * v + two * scene.values
        scale = None
        if self.normed:
            q, k = F.layer_norm(q, q.shape[-1:]), F.layer_norm(k, k.shape[-1:])
            scale = 1.0 / q.shape[-1]  # both norms are sqrt(K), so the score is beta * cosine
        if self.log_beta is not None:
            q = q * self.log_beta.exp().to(q.dtype)[:, None, None]
        if scene.length is not None:
            q = q * scene.length.to(q.dtype)
        if scene.turns is not None:
            q, k = rotate(q, scene.turns), rotate(k, scene.turns)
        return q, k, v, scale

    def _project(
        self, x: Float[Tensor, "b t d"]
    ) -> tuple[Float[Tensor, "b h t k"], Float[Tensor, "b h t k"], Float[Tensor, "b h t k"]]:
        whole = self.qkv(x)
        ways = whole.shape[-1] // x.shape[-1]
        parts = whole.unflatten(-1, (ways, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = parts.expand(3, *parts.shape[1:]).unbind(0)  # [B, H, T, K]
        return q, k, v

    def _write(self, y: Float[Tensor, "b h t k"]) -> Float[Tensor, "b t d"]:
        """W_O, with the heads of noise subtracted: the sign goes into the matrix."""
        y = y.transpose(1, 2).flatten(2)
        if self.quiet == self.heads:
            return self.out(y)
        sign = torch.ones(self.heads, 1)
        sign[self.quiet :] = -self.noise
        signs = sign.expand(-1, y.shape[-1] // self.heads).flatten()
        return F.linear(y, self.out.weight * signs)


def _law(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b h s k"],
    mask: Bool[Tensor, "#b 1 t s"],
    scale: float | None,
) -> Float[Tensor, "b h t s"]:
    """Attention's odds, with the table of scores written out."""
    scores = (q @ k.transpose(2, 3)) * (scale or q.shape[-1] ** -0.5)
    return scores.masked_fill(~mask, -torch.inf).softmax(-1)
