"""The next symbol from its logits: beta, then the cut, then the draw.

    p_beta = softmax(beta z);   keep p >= cut * max p;   draw among what is left

With an entropy target the controller moves beta after every symbol, so a surer or less sure
network does not make the answer duller or wilder (rankspace.beta).

Shapes: A symbols of one alphabet.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankspace import beta as gibbs
from rankspace.generation.request import Sampling


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen symbol and the numbers it was chosen by."""

    index: int
    beta: float
    entropy: float
    """Of p_beta, nats."""

    kept: int


class Chooser:
    """Chooses the symbols of one answer."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._log_beta = math.log(sampling.beta)

    def choose(self, logits: NDArray[np.float32]) -> Choice:
        """Choose among [A] logits; minus infinity forbids."""
        beta = math.exp(self._log_beta)
        allowed = np.isfinite(logits)
        z = logits[allowed].astype(np.float64)
        p = gibbs.law(z, beta)
        entropy = float(gibbs.entropy(p))
        if self._sampling.greedy:
            local, kept = int(z.argmax()), 1
        else:
            keep = p >= self._sampling.cut * p.max()
            mass = np.where(keep, p, 0.0)
            local, kept = int(self._random.choice(len(p), p=mass / mass.sum())), int(keep.sum())
            self._hold(entropy, len(z))
        return Choice(int(np.flatnonzero(allowed)[local]), beta, entropy, kept)

    def _hold(self, entropy: float, outcomes: int) -> None:
        """Move beta towards the entropy that is asked for."""
        target = self._sampling.entropy_target
        if target is None or outcomes < 2:
            return
        bounded = min(target, 0.98 * math.log(outcomes))
        controller = gibbs.Controller(target=max(bounded, 1e-3), outcomes=outcomes)
        self._log_beta = controller.step(self._log_beta, entropy)
