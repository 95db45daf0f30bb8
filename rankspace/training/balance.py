"""Which source comes next: the beta controller holds the mixture, a ledger keeps it exact.

A source's score is the share of its first loss that is still left, so what is hardest now is
drawn more; beta is moved until the entropy of the weights is a fixed fraction of ln S
(rankspace.beta.Mixture). What the user says a source counts for multiplies them. The ledger then
picks the source that is furthest behind its weight in symbols: no draw, no variance, and the same
losses always give the same sources.

Source: our formalisation, docs/theory.md definition 5.
"""

import math
from collections.abc import Mapping, Sequence

from rankspace.beta import Mixture, MixtureState
from rankspace.config import Config

FRACTION = 0.95
"""Entropy of the mixture, as a fraction of ln S: no source far from even by the scores alone."""


class BalanceState(Config):
    """All that the balance remembers."""

    mixture: MixtureState
    """Scores and ln beta."""

    owed: tuple[float, ...]
    """Symbols each source is behind its weight."""

    first: tuple[float | None, ...]
    """Each source's first loss, nats per symbol."""


class Balance:
    """The mixture of sources."""

    def __init__(
        self,
        sources: Sequence[str],
        base: Mapping[str, float] | None = None,
        state: BalanceState | None = None,
    ) -> None:
        self.sources = tuple(sources)
        self._base = [(base or {}).get(name, 1.0) for name in sources]
        self._mixture = Mixture(sources=len(sources), fraction=FRACTION)
        count = len(sources)
        self.state = state or BalanceState(
            mixture=self._mixture.birth(), owed=(0.0,) * count, first=(None,) * count
        )

    @property
    def weights(self) -> tuple[float, ...]:
        """Share of each source in the symbols drawn next."""
        drawn = self._mixture.weights(self.state.mixture)
        raw = [base * weight for base, weight in zip(self._base, drawn, strict=True)]
        return tuple(weight / sum(raw) for weight in raw)

    @property
    def beta(self) -> float:
        """The mixture's inverse temperature."""
        return math.exp(self.state.mixture.log_beta)

    def turn(self) -> "Turn":
        """The order of sources for one step."""
        return Turn(self.weights, list(self.state.owed))

    def settle(self, turn: "Turn", losses: Sequence[float]) -> None:
        """Take in a step: what was drawn, and each source's loss (NaN if it had none)."""
        first = tuple(
            loss if old is None and not math.isnan(loss) else old
            for old, loss in zip(self.state.first, losses, strict=True)
        )
        scores = [
            loss / start if start else math.nan for loss, start in zip(losses, first, strict=True)
        ]
        mixture = self._mixture.step(self.state.mixture, scores)
        self.state = BalanceState(mixture=mixture, owed=tuple(turn.owed), first=first)


class Turn:
    """One step's draw."""

    def __init__(self, weights: Sequence[float], owed: list[float]) -> None:
        self._weights = weights
        self.owed = owed

    def source(self) -> int:
        """The source furthest behind."""
        return max(range(len(self.owed)), key=lambda at: self.owed[at] + self._weights[at])

    def took(self, source: int, symbols: int) -> None:
        """So many symbols of a source were drawn."""
        for at, weight in enumerate(self._weights):
            self.owed[at] += weight * symbols
        self.owed[source] -= symbols
