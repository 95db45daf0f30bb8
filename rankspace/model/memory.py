"""How the memory's context is heard: the forms of the prior, one switch.

Inside one alphabet, with z what the blocks say and g = gate(step) falling from 1 to 0:

    annealed   beta ( z + g ln p0(.|c) + (1 - g) ln p0(.) )
    full       the same with g = 1 for ever
    scalar     the same with g learned, 1 at birth
    counts     the same with one learned g for each ln n(c) of what c was seen, 1 at birth
    feature    the same with g = 0: the context is heard as the rank's embedding only
    target     logits as feature; the loss is (1 - g) * -ln p(x) + g * -sum p0(.|c) ln p(.)
    mixture    ln( l p0(.|c) + (1 - l) p(.) ),  l = g + (1 - g) sigma(w m + b),  p as feature
    held       sum_k l_k p_k over p0 at any order, p as feature and, with `document`, what this text
               has said (model/document.py); p learns alone, l is fitted on held-out documents
               (model/shares.py), and while g is above 0 p0 has that share of all

So at birth all but feature and target say what the memory says, and those two its unigram.
Which of them pays is an experiment (benchmarks/), not part of the theory.

Shapes: N positions that share an alphabet, A its size, D width.
Source: our formalisation, docs/theory.md definition 4; distillation as in Hinton et al., 2015
(recalled).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from rankspace.model.config import NetworkConfig
from rankspace.model.shares import Known, Shares, mixture

COUNT_BUCKETS = 12
"""Rows of the gate by counts: 0, 1, 2-3, 4-7, ... times that a context was seen."""


class Trust(nn.Module):
    """The parameters of a learned form, the shares of a fitted one; none for the others."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.form = config.memory
        self.gate = None
        self.weight = None
        self.bias = None
        self.held = Shares(4 if config.document else 2) if self.form == "held" else None
        if self.form in ("scalar", "counts"):
            self.gate = nn.Parameter(torch.ones(1 if self.form == "scalar" else COUNT_BUCKETS))
        if self.form == "mixture":
            self.weight = nn.Parameter(torch.zeros(config.width))
            self.bias = nn.Parameter(torch.zeros(()))

    def openness(self, gate: float, buckets: Int[Tensor, "n"]) -> float | Float[Tensor, "n 1"]:
        """The g of these positions, whose contexts were seen as often as their buckets say."""
        if self.gate is not None:
            return self.gate[torch.zeros_like(buckets) if self.form == "scalar" else buckets, None]
        return {"annealed": gate, "full": 1.0}.get(self.form, 0.0)

    def share(self, mixed: Float[Tensor, "n d"], gate: float) -> Float[Tensor, "n 1"]:
        """The l of these positions."""
        if self.weight is None or self.bias is None:
            raise TypeError(f"a memory that is {self.form} has no share")
        learned = torch.sigmoid(mixed.float() @ self.weight + self.bias)[:, None]
        return gate + (1.0 - gate) * learned

    def mixture(
        self,
        scores: Float[Tensor, "n a"],
        context: Float[Tensor, "n a"],
        share: Float[Tensor, "n 1"],
    ) -> Float[Tensor, "n a"]:
        """The ln of the mixture of the network's law and the memory's."""
        shares = torch.cat([share, 1.0 - share], dim=1)
        return mixture(shares, [context, scores.log_softmax(-1)])

    def trusted(
        self,
        known: Known,
        laws: Sequence[Float[Tensor, "n *a"]],
        gate: float,
    ) -> Float[Tensor, "n *a"]:
        """The mixture by the shares that were fitted on held-out documents; the memory first."""
        if self.held is None:
            raise TypeError(f"a memory that is {self.form} has no shares that were fitted")
        shares = (1.0 - gate) * self.held(known)
        shares[:, 0] += gate
        return mixture(shares, laws)


def unsure(own: Float[Tensor, "n a"]) -> Float[Tensor, "n"]:
    """The entropy of each law, given as ln p, in nats."""
    return torch.special.entr(own.exp()).sum(-1)


def cap(scores: Float[Tensor, "n a"], limit: float) -> Float[Tensor, "n a"]:
    """Scores bent into plus and minus c: c tanh(z / c), the identity near 0; 0 leaves them.

    Source: Gemma 2, arXiv 2408.00118 (recalled).
    """
    return limit * torch.tanh(scores / limit) if limit else scores


def distilled(logits: Float[Tensor, "n a"], context: Float[Tensor, "n a"]) -> Float[Tensor, "n"]:
    """-sum p0 ln p: what it costs to say what the memory says."""
    return F.cross_entropy(logits, context.exp(), reduction="none")
