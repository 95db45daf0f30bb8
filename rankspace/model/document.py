"""The document's own memory: what this very text has said so far.

    pairs    p(w|c) = n_d(c, w) / n_d(c)      c the last symbol, n_d counts in the part up to here
    singles  p(w)   = n_d(w) / sum n_d

A symbol that a text has used will be used again, and so will what came after it: names, above
all. Where nothing follows c yet the pairs are the singles, and where nothing was said at all both
are the law that they are given. No parameters, and nothing to train: it is attention whose kernel
is equality.

Shapes: N positions, T the longest part so far, A symbols of one alphabet.
Source: cache models, Kuhn & De Mori 1990 (recalled); one step back as in the recency ranks of
Ryabko, "Data compression by means of a book stack", 1980 (recalled).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rankspace.ranks.vocabulary import PAD


def said(
    past: Int[Tensor, "n t"],
    local: Int[Tensor, "v"],
    inside: Bool[Tensor, "v"],
    other: Float[Tensor, "n a"],
) -> tuple[Float[Tensor, "n a"], Float[Tensor, "n a"], Float[Tensor, "n"]]:
    """The ln of pairs and of singles, and how often something followed the last symbol before.

    `past` holds each position's own part up to itself, PAD before it; `local` and `inside` say
    where an id stands in the alphabet and whether it does; `other` is ln p where nothing was said.
    """
    came = past[:, 1:]
    counted = (past[:, :-1] != PAD) & inside[came]
    again = counted & (past[:, :-1] == past[:, -1:])
    places = local[came]
    singles = _law(places, counted, other)
    return _law(places, again, singles), singles, again.sum(1).float()


def _law(
    places: Int[Tensor, "n t"], counted: Bool[Tensor, "n t"], other: Float[Tensor, "n a"]
) -> Float[Tensor, "n a"]:
    """The ln of relative frequencies; the other law where nothing is counted."""
    counts = torch.zeros_like(other).scatter_add_(1, places, counted.to(other.dtype))
    total = counts.sum(1, keepdim=True)
    return torch.where(total > 0, (counts / total.clamp(min=1)).log(), other)
