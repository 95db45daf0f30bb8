"""The Gibbs law and the one controller that holds every inverse temperature in the system.

    p_β = softmax(β z)          H = -Σ p ln p  (entropy)          V = Σ p (ln p + H)²  (varentropy)

    fact 1   dH / d ln β = -V ≤ 0, so for logits with one largest and 0 < τ < ln N there is exactly
             one β with H = τ                                       (`solve` finds it)
    fact 2   the largest V over N outcomes lies between ¼ ln²(N-1) and ¼ ln²(N-1) + 1, so
             ln β ← ln β + η (H - τ) comes nearer with every step, from any start, if
             η < 2 / (¼ ln²(N-1) + 1)                               (`Controller`)
    fact 3   β² Var[z] = V: the heat capacity of the law is the stability limit of its controller

The same controller weights the sources of training (`Mixture`): p_s = softmax(β · score_s), with β
such that the entropy of the weights stays a fixed fraction of the largest there can be.

Shapes: z, p: float [..., N], laws along the last axis; entropies in nats. -inf in z is impossible.
Source: fact 2 is Reeb & Wolf, "Tight bound on relative entropy by entropy difference", 2015
(recalled, confirmed numerically); the update is the dual step of Haarnoja et al., arXiv 1812.05905
(recalled). How they are put together is our formalisation.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from rankspace.config import Config
from rankspace.errors import InvalidInput

Reals = NDArray[np.float64]
STEPS_MAX = 200
PRECISION_NATS = 1e-12


def log_law(z: NDArray[np.floating], beta: float = 1.0) -> Reals:
    """[..., N]: ln p of the Gibbs law; -inf where z is."""
    scaled = beta * (z - z.max(-1, keepdims=True)).astype(np.float64)
    return scaled - np.log(np.exp(scaled).sum(-1, keepdims=True))


def law(z: NDArray[np.floating], beta: float = 1.0) -> Reals:
    """[..., N]: the Gibbs law, softmax(β z)."""
    return np.exp(log_law(z, beta))


def entropy(p: Reals) -> Reals:
    """[...]: -Σ p ln p, in nats."""
    return np.asarray((p * _surprise(p)).sum(-1))


def varentropy(p: Reals) -> Reals:
    """[...]: the variance of -ln p, in nats²: how fast the entropy falls as ln β rises."""
    surprise = _surprise(p)
    mean = (p * surprise).sum(-1, keepdims=True)
    return np.asarray((p * (surprise - mean) ** 2).sum(-1))


def varentropy_bound(outcomes: int) -> float:
    """No law over this many outcomes has a larger varentropy."""
    return 0.25 * math.log(outcomes - 1) ** 2 + 1.0


def rate_bound(outcomes: int) -> float:
    """Below this rate the controller comes nearer with every step, from any start."""
    return 2.0 / varentropy_bound(outcomes)


def solve(z: NDArray[np.floating], target: float) -> float:
    """The one β at which the law of z [N] has this entropy.

    Newton on ln β by fact 1, inside a shrinking bracket. Raises InvalidInput where no β has it.
    """
    z = z[np.isfinite(z)]
    least = math.log((z == z.max()).sum()) if z.size else 0.0
    if not least < target < math.log(max(z.size, 1)):
        raise InvalidInput(
            f"no beta gives an entropy of {target:.4g} nats; these logits reach"
            f" {least:.4g} to {math.log(max(z.size, 1)):.4g}, both excluded",
            "target",
        )
    low, high = _bracket(z, target)
    x = 0.5 * (low + high)
    for _ in range(STEPS_MAX):  # pragma: no branch - a limit, not a way out
        p = law(z, math.exp(x))
        excess = float(entropy(p)) - target
        if abs(excess) < PRECISION_NATS:
            break
        low, high = (x, high) if excess > 0 else (low, x)
        slope = float(varentropy(p))
        x = x + excess / slope if slope > 0 else math.inf
        if not low < x < high:
            x = 0.5 * (low + high)
    return math.exp(x)


class Controller(Config):
    """Holds the entropy of a changing law at a target. Its whole state is one number, ln β."""

    target: float = Field(gt=0)
    """Entropy to hold, in nats; below ln `outcomes`."""

    outcomes: int = Field(ge=2)
    """The most outcomes N the law can have; the proven rate follows from it."""

    rate: float | None = Field(default=None, gt=0)
    """Step η; half of the proven bound if not given."""

    log_beta_max: float = Field(default=12.0, gt=0)
    """|ln β| never exceeds this: without it, a target out of reach would wind β up for ever."""

    @model_validator(mode="after")
    def _proven(self) -> "Controller":
        if self.target >= math.log(self.outcomes):
            raise ValueError(f"the target must be below ln {self.outcomes}")
        if self.rate is not None and self.rate >= rate_bound(self.outcomes):
            raise ValueError(f"the rate must be below {rate_bound(self.outcomes):.4g} to be stable")
        return self

    def step(self, log_beta: float, measured: float) -> float:
        """The next ln β after the law at this one had the measured entropy."""
        rate = self.rate if self.rate is not None else 0.5 * rate_bound(self.outcomes)
        moved = log_beta + rate * (measured - self.target)
        return min(max(moved, -self.log_beta_max), self.log_beta_max)


class MixtureState(Config):
    """All that a mixture remembers; plain numbers, so that a run can be saved and replayed."""

    log_beta: float = 0.0
    """ln β of the weights."""

    scores: tuple[float, ...]
    """Smoothed score of each source."""

    seen: tuple[bool, ...]
    """Which sources have had a score at all."""


class Mixture(Config):
    """Weights over sources: the higher a source's score, the more of it is drawn.

    A score is any number that says how much there is to gain, such as a source's loss minus what
    its own memory reaches. The same scores in the same order always give the same weights.
    """

    sources: int = Field(ge=1)
    """How many sources S there are."""

    fraction: float = Field(default=0.85, gt=0, lt=1)
    """Entropy of the weights to hold, as a fraction of ln S."""

    floor: float = Field(default=0.1, ge=0, lt=1)
    """This share of the weight is spread evenly, so that no source is ever forgotten."""

    smoothing: float = Field(default=0.9, ge=0, lt=1)
    """How much of the old score stays when a new one comes."""

    log_beta_max: float = Field(default=5.0, gt=0)
    """|ln β| never exceeds this: scores nearer than about e^-5 count as equal."""

    @model_validator(mode="after")
    def _reachable(self) -> "Mixture":
        sharpest = self._floored(np.eye(1, self.sources)[0])
        if self.sources > 1 and float(entropy(sharpest)) >= self.fraction * math.log(self.sources):
            raise ValueError("the floor alone spreads the weights more than the fraction allows")
        return self

    def birth(self) -> MixtureState:
        """Before any score: even weights, β = 1."""
        return MixtureState(scores=(0.0,) * self.sources, seen=(False,) * self.sources)

    def weights(self, state: MixtureState) -> tuple[float, ...]:
        """How much of each source to draw, in all 1. A source not yet seen counts as average."""
        scores, seen = np.array(state.scores), np.array(state.seen)
        average = float(scores[seen].mean()) if seen.any() else 0.0
        p = law(np.where(seen, scores, average), math.exp(state.log_beta))
        return tuple(self._floored(p).tolist())

    def step(self, state: MixtureState, scores: Sequence[float]) -> MixtureState:
        """The state after new scores, one a source; NaN for a source that has none this time."""
        if len(scores) != self.sources:
            raise InvalidInput(f"{self.sources} sources need as many scores", "scores")
        blended = tuple(map(self._blend, state.scores, state.seen, scores))
        seen = tuple(
            old or not math.isnan(new) for old, new in zip(state.seen, scores, strict=True)
        )
        moved = state.model_copy(update={"scores": blended, "seen": seen})
        if self.sources == 1:
            return moved
        controller = Controller(
            target=self.fraction * math.log(self.sources),
            outcomes=self.sources,
            log_beta_max=self.log_beta_max,
        )
        measured = float(entropy(np.array(self.weights(moved))))
        return moved.model_copy(update={"log_beta": controller.step(state.log_beta, measured)})

    def _blend(self, old: float, seen: bool, new: float) -> float:
        if math.isnan(new):
            return old
        return self.smoothing * old + (1 - self.smoothing) * new if seen else new

    def _floored(self, p: Reals) -> Reals:
        return (1 - self.floor) * p + self.floor / self.sources


def _surprise(p: Reals) -> Reals:
    """-ln p, and 0 where p is 0: what cannot happen surprises nobody."""
    return -np.log(np.where(p > 0, p, 1.0))


def _bracket(z: NDArray[np.floating], target: float) -> tuple[float, float]:
    """An interval of ln β at whose ends the entropy lies above and below the target."""
    low = high = 0.0
    while float(entropy(law(z, math.exp(low)))) < target:
        low -= 2.0
    while float(entropy(law(z, math.exp(high)))) > target:
        high += 2.0
    return low, high
