"""What is asked of a session and what it answers: plain data, no torch."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from rankspace.config import Config
from rankspace.media.sample import Modality, Part

Encoding = Literal["", "wav", "pcm_s16le", "png", "mp4", "gif"]
SYMBOLS_MAX = 8192
"""Symbols one answer may have, whatever is asked: about 160 s of sound."""


class Sampling(Config):
    """How the next symbol is chosen from the network's law p_beta = softmax(beta * logits)."""

    beta: float = Field(default=1.0, gt=0, le=1000)
    """Inverse temperature: above 1 is surer than the model, below 1 more varied."""

    entropy_target: float | None = Field(default=None, ge=0, le=20)
    """Entropy in nats that the controller holds by moving beta; unset leaves beta fixed."""

    cut: float = Field(default=0.0, ge=0, le=1)
    """Keep a symbol only if p >= cut * p_max (0 keeps all, 1 keeps the best)."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Same model, prompt and seed: same answer, on the same machine and version."""

    max_symbols: int = Field(default=0, ge=0, le=SYMBOLS_MAX)
    """Most symbols of one answer, in whole pictures, frames or groups of sound, but at least one
    of them; 0 leaves the end to the model, bounded by the server."""

    greedy: bool = False
    """Take the most probable symbol every time; beta, cut and seed then change nothing."""


class Target(Config):
    """What kind of part is asked for."""

    modality: Modality
    """The modality of the answer."""

    role: str = Field(default="", max_length=64)
    """The role the answer plays, as the parts of the training samples had it."""

    encoding: Encoding = ""
    """How the answer's media are encoded; empty picks text, wav, png or mp4 by modality."""


class SessionConfig(Config):
    """How to open a session."""

    model: str = Field(default="default", min_length=1, max_length=200)
    """An alias, a name (its newest version) or name@version."""

    trace: bool = False
    """Send, with every symbol, the numbers it was chosen by."""


@dataclass(frozen=True, slots=True)
class Ask:
    """End of a turn: answer in this kind of part."""

    target: Target
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop the answer that is being given; the session goes on with what was said so far."""


Turn = Part | Ask | Interrupt
"""What a client may send after it has opened a session."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The numbers one symbol was chosen by."""

    symbol: int
    """Global id in the model's vocabulary."""

    modality: str
    """Whose alphabet the symbol is of; "mark" for the end of a part."""

    rank: int
    """Position of the symbol in the final order, 0 the most probable."""

    prior_rank: int
    """Position of the symbol in the memory's order."""

    log_prob: float
    """ln p of the symbol at beta = 1, inside the modality, in nats."""

    log_prior: float
    """ln p0 of the symbol given the one before it, in nats."""

    beta: float
    """Inverse temperature that was applied."""

    entropy: float
    """Entropy of p_beta in nats."""

    kept: int
    """Symbols that survived the cut."""

    block_shares: tuple[float, ...]
    """What each block added to the chosen symbol's logit."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost."""

    prompt_parts: int
    prompt_symbols: int
    answer_symbols: int
    seconds_to_first: float
    seconds: float
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of an answer. The last one of an answer is `final` and carries the usage."""

    sequence: int
    """Counts from 0 within the session."""

    modality: Modality
    role: str
    encoding: str
    """"" for text, else the encoding of `data`."""

    data: bytes
    """Text and sound append; a picture or clip supersedes what came before it."""

    final: bool = False
    replaces: bool = False
    """This data supersedes all earlier data of the same answer."""

    traces: tuple[Trace, ...] = ()
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """One vector for all the parts that were given."""

    vector: tuple[float, ...]
    """Of length 1; those of one model version compare by their inner product."""

    model: str
    """The version that made it, as name@version."""


@dataclass(frozen=True, slots=True)
class PartScore:
    """How well one part was predicted."""

    symbols: int
    bits: float
    """Bits the model needs for all of them."""

    prior_bits: float
    """Bits the memory alone needs."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How well each part was predicted after those before it."""

    parts: tuple[PartScore, ...]
    model: str
    """The version that was asked, as name@version."""
