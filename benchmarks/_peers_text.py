"""The peers' own code as arms: GPT-2 of Hugging Face transformers, and x-transformers.

Both are made from a config, without any hub: 6 layers of 192, 3 heads, tied embeddings, learned
positions, the dropout of the others, and AdamW at GPT-2's weight decay. Rates, schedule, clipping
and texts are those of all arms. x-transformers scales tied logits by 1 and not by its default of
D^-1/2, with which it learns much more slowly here (1.80 against 1.60 bits a byte of GPT-2 after
60,000 tokens). Under a name with +average rates never fall and the average of the weights is
measured, as with `rank`.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from benchmarks._arms import Arm, Law
from benchmarks._text_data import Batch, Stories
from rankspace.training.job import DECAY
from rankspace.training.optimizer import CLIP

RATE = 1e-3
"""Of AdamW, at 1 of the grid; the same as our plain presets have."""

PEERS = {"hf_gpt2": "transformers", "xt": "x_transformers"}
"""Arm and the package it is of."""

STEADY = "+average"
ARMS = (*PEERS, *(name + STEADY for name in PEERS))
"""Peers as they are, and with rates that never fall and the average of the weights."""


def missing(name: str) -> str:
    """Why this peer cannot run here; empty if it can."""
    package = PEERS[name.removesuffix(STEADY)]
    return "" if find_spec(package) else f"{package} is not installed"


def build(
    name: str, vocabulary: int, context: int, dropout: float, width: int = 192, depth: int = 6
) -> nn.Module:
    """A peer's model: ids [B, T] to logits [B, T, V]."""
    if name == "hf_gpt2":
        return _Gpt2(vocabulary, context, dropout, width, depth)
    peer = import_module("x_transformers")
    layers = peer.Decoder(
        dim=width, depth=depth, heads=max(2, width // 64), attn_dim_head=min(64, width // 2),
        attn_flash=True, attn_dropout=dropout, ff_dropout=dropout,
    )  # fmt: skip
    model: nn.Module = peer.TransformerWrapper(
        num_tokens=vocabulary, max_seq_len=context, attn_layers=layers, emb_dropout=dropout,
        tie_embedding=True, tie_embedding_scale=1.0,
    )  # fmt: skip
    return model


class _Gpt2(nn.Module):
    """GPT-2 without the wrapping of its output."""

    def __init__(
        self, vocabulary: int, context: int, dropout: float, width: int, depth: int
    ) -> None:
        super().__init__()
        peer = import_module("transformers")
        config = peer.GPT2Config(
            vocab_size=vocabulary, n_positions=context, n_embd=width, n_layer=depth,
            n_head=max(2, width // 64), resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
            bos_token_id=None, eos_token_id=None, use_cache=False,
        )  # fmt: skip
        self.inner: Any = peer.GPT2LMHeadModel(config)

    def forward(self, symbols: Int[Tensor, "b t"]) -> Float[Tensor, "b t v"]:
        return self.inner(input_ids=symbols).logits


class Peer(Arm):
    """A peer's model between batches and nats."""

    def __init__(self, model: nn.Module, context: int, rate: float, steady: bool) -> None:
        self.model = model
        self.average, self.decay = steady, 0.0 if steady else DECAY
        self._context = context
        self._rate = RATE * rate
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=self._rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True
        )

    def nats(self, batch: Batch, stories: Stories, progress: float) -> Float[Tensor, "n"]:
        del stories, progress
        logits = self.model(batch.symbols).float().flatten(0, 1)
        targets = batch.targets.flatten()
        nats = F.cross_entropy(logits, targets, ignore_index=-1, reduction="none")
        return nats[targets >= 0]

    def law(self, symbols: Int[Tensor, "b t"]) -> Law:
        return self.model(symbols[:, -self._context :])[:, -1].float().softmax(-1)

    def step(self, factor: float, progress: float) -> float:
        del progress
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * factor
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(norm)
