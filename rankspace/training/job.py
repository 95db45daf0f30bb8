"""What a training job is told and what it reports: plain data, no torch."""

from typing import Literal

from pydantic import Field, model_validator

from rankspace.config import Config
from rankspace.errors import InvalidConfig
from rankspace.model.presets import Preset, Shape, Size, network
from rankspace.store.entries import JobState

Switch = bool | int | float | str | tuple[float, ...] | dict[str, float]
"""A setting of the network."""

Phase = Literal[
    "queued", "starting", "snapshot", "codecs", "tokens", "counts", "training", "evaluating",
    "saving", "done",
]  # fmt: skip

DECAY = 0.5
"""Share of the steps over which rates fall, if nothing else is asked for."""

_NAME = r"^([a-z0-9][a-z0-9-]{0,30}/)?[a-z0-9][a-z0-9-]{0,62}$"
"""What models and aliases are called; a tenant's name may come before theirs."""


class JobConfig(Config):
    """One training job. `size` and `preset` set the network; all else has a default."""

    streams: tuple[str, ...] = Field(min_length=1, max_length=64)
    """Streams to learn from; each is one source of the mixture."""

    weights: dict[str, float] = {}
    """How much a stream counts in the mixture before the controller moves it; 1 if not named."""

    model: str = Field(default="model", pattern=_NAME)
    """Name under which the result is registered."""

    alias: str = Field(default="default", pattern=f"^$|{_NAME}")
    """Alias that is moved to the result when the job succeeds; empty moves none."""

    preset: Preset = "rank"
    """The network: ours, or one that it is measured against."""

    size: Size = "small"
    """The one dial: width, depth, heads and rates follow."""

    steps: int = Field(default=600, gt=0, le=1_000_000)
    """Optimiser steps."""

    batch_symbols: int = Field(default=4096, ge=256, le=1 << 20)
    """Symbols of one step, over all workers."""

    context: int = Field(default=256, ge=32, le=8192)
    """Longest sequence the network is trained on, in symbols."""

    learning_rate: float = Field(default=1.0, gt=0, le=10)
    """Multiplies the size's own learning rates."""

    decay: float = Field(default=DECAY, ge=0, le=1)
    """Share of the steps, the last ones, over which the rates fall to nothing. At 0 they never do:
    what is kept is an average of the weights anyway, and for `rank` on texts that is better."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Same seed, snapshot and machine: same model, bit for bit."""

    augment: bool = True
    """Train on other views of pictures and sounds than the one sent: bent, stretched, noisy."""

    workers: int = Field(default=1, gt=0, le=1024)
    """Processes that share every step."""

    evaluate_every: int = Field(default=100, gt=0)
    """Steps between two measurements of the held-out loss."""

    patience: int = Field(default=5, ge=0)
    """Stop after so many measurements without a better held-out loss, and keep the network that was
    best; 0 never stops early and keeps the last."""

    checkpoint_every: int = Field(default=200, gt=0)
    """Steps between two checkpoints that a job can resume from."""

    vitals_every: int = Field(default=50, ge=0)
    """Steps between two looks at the network's vital signs; 0 never looks."""

    switches: dict[str, Switch] = {}
    """Settings of the network by name that are not as its preset has them."""

    @model_validator(mode="after")
    def _make_a_network(self) -> "JobConfig":
        shape = Shape(vocabulary=2, context=self.context, features=1, places=2, rank_buckets=2)
        try:
            network(self.preset, self.size, shape, **self.switches)
        except InvalidConfig as error:
            raise InvalidConfig(f"switches.{error}", f"switches.{error.field}") from error
        return self


class Event(Config):
    """What a job reports. Later events supersede earlier ones; none is ever changed."""

    phase: Phase
    """What the job is doing."""

    state: JobState = "running"
    """Where the job stands."""

    step: int = 0
    """Steps done."""

    steps: int = 0
    """Steps planned."""

    progress: float = Field(default=0.0, ge=0, le=1)
    """Share of the present phase that is done."""

    loss: float | None = None
    """Smoothed training loss, nats per symbol."""

    held_out_loss: float | None = None
    """Loss on samples that never train, nats per symbol."""

    source_losses: dict[str, float] = {}
    """Smoothed loss of each source, nats per symbol."""

    source_weights: dict[str, float] = {}
    """Share of each source in what is drawn next; sums to 1."""

    betas: dict[str, float] = {}
    """Every inverse temperature in the system by name, such as "mixture" and "output"."""

    metrics: dict[str, float] = {}
    """Figures by name, such as "birth_loss"."""

    symbols_per_s: float = 0.0
    """Training throughput."""

    eta_s: float = 0.0
    """Seconds the job still needs, as far as is known."""

    message: str = ""
    """A sentence for people."""

    warnings: tuple[str, ...] = ()
    """Names of what looks wrong."""
