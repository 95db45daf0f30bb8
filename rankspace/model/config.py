"""The shape of a network: every element is a switch, and what cannot work is refused by name.

A default is what the `rank` preset has. Which switches go together is said in model/rules.py;
papers are named where the formula is, in the module that computes it.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator

from rankspace.config import Config
from rankspace.model.rules import RULES, fits

Kind = Literal["attention", "gate", "router", "output"]
"""Inverse temperatures of a network: of heads, of gates, of the choice of experts, of the odds."""

Memory = Literal["annealed", "full", "scalar", "counts", "feature", "target", "mixture", "held"]
"""How the memory's context is heard; model/memory.py has the formulas."""


class NetworkConfig(Config):
    """Everything that fixes the network's parameters and their meaning."""

    model_config = ConfigDict(validate_default=True)

    vocabulary: int = Field(gt=1)
    """Symbols and marks V."""

    width: int = Field(gt=0)
    """Width D of the stream between blocks."""

    depth: int = Field(gt=0)
    """Blocks L."""

    heads: int = Field(gt=0)
    """Attention heads H; must divide `width` into a multiple of four."""

    hidden: int = Field(gt=0)
    """Width of the feed-forward layer, or of each expert."""

    context: int = Field(gt=0)
    """Longest sequence; binding only where positions are learned."""

    features: int = Field(default=0, ge=0)
    """Width F of the codecs' symbol features; 0 leaves them out."""

    places: int = Field(default=1, gt=0)
    """Places in the codecs' repeating layouts; 1 leaves them out."""

    rank_buckets: int = Field(default=0, ge=0)
    """Buckets of the shared rank coordinate; 0 leaves it out."""

    rotary: bool = True
    """Rotary positions; else learned ones."""

    gated: bool = True
    """Swish-beta gate in the feed-forward layer; else GELU."""

    query_key_norm: bool = True
    """Normalised queries and keys with a learned inverse temperature per head; else 1/sqrt(K)."""

    all_blocks_speak: bool = True
    """Every block's state enters the logits; else the last one's alone."""

    prior: bool = True
    """The memory's ln p0 enters the logits and the network is born silent; else born random."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of each block's output that is dropped while training."""

    noise: float = Field(default=0.0, ge=0, lt=1)
    """Share of positions that read what another one holds while training."""

    norm: Literal["layer", "rms"] = "layer"
    """Norm of the stream: LayerNorm without bias, or RMSNorm."""

    tied: bool = False
    """One projection is query, key and value."""

    noise_heads: int = Field(default=0, ge=0)
    """Heads, the last ones, whose outcome is subtracted."""

    noise_birth: float = Field(default=0.01, ge=0)
    """Weight lambda of the noise heads at the first step."""

    noise_end: float = Field(default=0.1, ge=0)
    """The same at the last step and ever after."""

    rotary_bases: tuple[float, ...] = Field(default=(10_000.0,), min_length=1, max_length=2)
    """Base of the rotary speeds of all heads, or of the signal heads and of the noise heads."""

    rotary_whole: bool = False
    """All coordinates of a head turn; else half of them."""

    length_term: bool = False
    """Beta of a head grows with ln n, n the symbols that are seen (Scalable-Softmax)."""

    value_residual: bool = False
    """Each block's values take in those of the first."""

    first_residual: bool = False
    """Each block's input takes in x_0."""

    lean: bool = False
    """Attention learns in fewer passes over its scores (model/table.py); equal but for rounding."""

    native: bool = False
    """Learns through passes in C++ where a compiler is (model/trunk.py); equal but for rounding."""

    think: Literal["dense", "ista", "alpha"] = "dense"
    """The feed-forward layer: two or three matrices, or a sparse code (model/sparse.py)."""

    squared: bool = False
    """ReLU squared in a feed-forward layer without a gate, in place of GELU."""

    gate_beta: Literal["channel", "input"] = "channel"
    """Beta of a gate: one a channel, or that times a bounded function of the input."""

    experts: int = Field(default=0, ge=0, le=256)
    """Feed-forward layers to choose from in each block; 0: one, without a choice."""

    active: int = Field(default=2, gt=0)
    """How many of the experts a symbol is sent to; of no account without experts."""

    balance_rate: float = Field(default=0.001, ge=0)
    """Step by which the bias of a busy expert falls and of an idle one rises."""

    speak: Literal["sum", "last", "softmax"] = "sum"
    """Weights of the blocks' voices: free, 1 at birth; free, the last alone at birth; softmax."""

    supervise: float = Field(default=0.0, ge=0)
    """Weight of the mean loss of the lower blocks, each read out alone; 0 leaves it out."""

    soft_cap: float = Field(default=0.0, ge=0)
    """Logits of the network are bent into plus and minus this; 0 leaves them."""

    memory: Memory = "annealed"
    """How the memory's context is heard."""

    order: int = Field(default=2, ge=2, le=8)
    """Symbols of the longest counts: 5 looks four symbols back; above 2 for `held` alone."""

    document: bool = False
    """A memory that is held hears the document too: its own pairs and singles so far."""

    birth: Literal["random", "pmi"] = "random"
    """Embeddings at birth: normal, or from the statistics of the data (model/birth.py)."""

    hold: dict[Kind, float] = {}
    """Kinds of beta that the controller holds, each at this share of the largest entropy."""

    @field_validator("*")
    @classmethod
    def _fits(cls, value: object, info: Any) -> object:  # ValidationInfo cannot be checked live
        wrong = RULES.get(info.field_name or "", fits)(value, info.data)
        if wrong:
            raise ValueError(wrong)
        return value

    @property
    def head_width(self) -> int:
        """Width K of one head."""
        return self.width // self.heads


class Shape(Config):
    """What the data fix: the same for every preset."""

    vocabulary: int
    """Symbols and marks V."""

    context: int
    """Longest sequence."""

    features: int
    """Width of the codecs' symbol features."""

    places: int
    """Places in the codecs' repeating layouts."""

    rank_buckets: int
    """Buckets of the shared rank coordinate."""
