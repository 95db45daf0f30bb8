"""The shape of a network, and the presets: what differs between networks is data, not code.

`rank` is our formalisation (docs/theory.md, definition 4); `gpt2` is the plain decoder of Radford
et al. 2019 that any claim is measured against: learned positions, LayerNorm, GELU, one tied
unembedding of the last block, no statistics.
"""

from typing import Literal

from pydantic import Field, model_validator

from rankspace.config import Config

Preset = Literal["rank", "gpt2"]
Size = Literal["tiny", "small", "base"]

SIZES: dict[Size, tuple[int, int, int]] = {
    "tiny": (128, 4, 2),
    "small": (192, 5, 3),
    "base": (320, 8, 5),
}
"""Width, depth, heads."""


class NetworkConfig(Config):
    """Everything that fixes the network's parameters and their meaning."""

    vocabulary: int = Field(gt=1)
    """Symbols and marks V."""

    width: int = Field(gt=0)
    """Width D of the stream between blocks."""

    depth: int = Field(gt=0)
    """Blocks L."""

    heads: int = Field(gt=0)
    """Attention heads H; must divide `width` into a multiple of four."""

    hidden: int = Field(gt=0)
    """Width of the feed-forward layer."""

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

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "NetworkConfig":
        if self.width % (4 * self.heads):
            raise ValueError(
                f"width {self.width} must be a multiple of four times the heads, {self.heads}"
            )
        return self

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


def network(preset: Preset, size: Size, shape: Shape) -> NetworkConfig:
    """The config of a preset at a size, for data of this shape."""
    width, depth, heads = SIZES[size]
    if preset == "gpt2":
        return NetworkConfig(
            vocabulary=shape.vocabulary, context=shape.context,
            width=width, depth=depth, heads=heads, hidden=4 * width,
            rotary=False, gated=False, query_key_norm=False, all_blocks_speak=False, prior=False,
        )  # fmt: skip
    return NetworkConfig(
        **shape.model_dump(),
        width=width, depth=depth, heads=heads,
        hidden=8 * width // 3 // 32 * 32,  # three matrices of the gate weigh what GELU's two do
    )  # fmt: skip
