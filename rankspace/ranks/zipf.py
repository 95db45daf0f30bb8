"""How a source's symbols fall off with rank: the Zipf–Mandelbrot law, fitted with its errors.

    p(r) = (r + q)^-β / Z,   r = 1…N           a Gibbs law with energy ln(r + q) and inverse temp. β

For a given q the law is an exponential family, so the likelihood has one peak in β and Newton finds
it; q is found by a search along the ridge. Errors are those of the Fisher information of (β, q):

    I = n Cov[(ln(r + q), β / (r + q))]

Ranks must not come from the counts that are fitted: sorting by the same noise that is then fitted
bends the curve (true β = 1, n = 2,000: about 0.87 over the symbols seen). `split` ranks with one
half and counts with the other, over the whole alphabet. How far to believe the law at all is said
by the likelihood ratios against its rivals, a log-normal and an exponential of the rank.

Shapes: frequencies int64 [S], one a symbol of an alphabet; counts int64 [N], the r-th for rank r.
Source: Mandelbrot 1953; split samples: Piantadosi 2014; ratios: Vuong 1989, as in Clauset, Shalizi
& Newman 2009 (all recalled, not re-read).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankspace.errors import InvalidInput

Reals = NDArray[np.float64]
Counted = NDArray[np.int64]
SEEN_MIN = 4
"""Two parameters need more points than two to be wrong about."""

Q_LEAST = -0.9
Q_MOST_RANKS = 10.0  # q beyond ten times N is an exponential in all but name
GRID = 24
NEWTON_MAX = 60
DECREMENT = 1e-14  # nats per symbol still to gain; the last step squares it


@dataclass(frozen=True, slots=True)
class Ratio:
    """The law against a rival on the same counts."""

    nats: float
    """Log-likelihood of the law minus that of the rival; above 0 the law fits better."""

    z: float
    """The same in its own standard deviations; within ±2 the data cannot tell."""


@dataclass(frozen=True, slots=True)
class ZipfFit:
    """The law that fits best, and how sure that is."""

    beta: float
    q: float
    se_beta: float
    se_q: float
    log_likelihood: float
    ranks: int
    """N, how many ranks the law has."""

    total: int
    """n, how many symbols it was fitted to."""

    over_log_normal: Ratio
    over_exponential: Ratio

    def log_law(self) -> Reals:
        """[N]: ln p of each rank."""
        return _log_law(np.array([self.beta]), _energies(self.ranks, self.q))


def split(frequencies: Counted, seed: int = 0) -> Counted:
    """[S]: counts by rank: one random half of the symbols sets the ranks, the other is counted."""
    judges = np.random.default_rng(seed).binomial(frequencies, 0.5)
    return (frequencies - judges)[np.argsort(-judges, kind="stable")]


def fit(counts: Counted, q: float | None = None) -> ZipfFit:
    """The law of these counts by rank; of β alone if q is given. Too few raise InvalidInput."""
    seen = int((counts > 0).sum())
    if seen < SEEN_MIN:
        raise InvalidInput(f"a fit needs at least {SEEN_MIN} ranks that were seen, not {seen}")
    shift = _best_shift(counts) if q is None else q
    energies = _energies(len(counts), shift)
    beta = _peak(energies, counts)
    logs = _log_law(beta, energies)
    se_beta, se_q = _errors(float(beta[0]), shift, counts, fixed=q is not None)
    steps = np.arange(1.0, len(counts) + 1)
    return ZipfFit(
        beta=float(beta[0]),
        q=shift,
        se_beta=se_beta,
        se_q=se_q,
        log_likelihood=float(counts @ logs),
        ranks=len(counts),
        total=int(counts.sum()),
        over_log_normal=_ratio(counts, logs, _log_normal(counts)),
        over_exponential=_ratio(counts, logs, _log_law(_peak(-steps[None], counts), -steps[None])),
    )


def _energies(ranks: int, q: float) -> Reals:
    """[1, N]: the statistic whose weight is β."""
    return -np.log(np.arange(1, ranks + 1) + q)[None]


def _log_law(weights: Reals, statistics: Reals) -> Reals:
    """[N]: ln p of the exponential family with these weights [K] of these statistics [K, N]."""
    score = weights @ statistics
    score = score - score.max()
    return score - math.log(np.exp(score).sum())


def _peak(statistics: Reals, counts: Counted) -> Reals:
    """[K]: the weights of greatest likelihood: where the law's means are the data's.

    Newton with step halving; the likelihood is concave. Statistics are scaled to variance 1 first.
    """
    scale = statistics.std(1, keepdims=True)
    scaled = (statistics - statistics.mean(1, keepdims=True)) / scale
    data = scaled @ counts / counts.sum()
    weights = np.zeros(len(scaled))
    logs = _log_law(weights, scaled)
    for _ in range(NEWTON_MAX):  # pragma: no branch - a limit, not a way out
        p = np.exp(logs)
        means = scaled @ p
        spread = (scaled * p) @ scaled.T - np.outer(means, means)
        # The ridge keeps the step finite where the law has shrunk to one rank.
        step = np.linalg.solve(spread + 1e-12 * np.eye(len(means)), data - means)
        if float(step @ (data - means)) < DECREMENT:
            break
        weights, logs = _climb(weights, step, scaled, counts)
    return weights / scale[:, 0]


def _climb(weights: Reals, step: Reals, scaled: Reals, counts: Counted) -> tuple[Reals, Reals]:
    """The longest of the halved steps that does not lose likelihood, and its law."""
    before = float(counts @ _log_law(weights, scaled))
    logs = _log_law(weights + step, scaled)
    while float(counts @ logs) < before:  # ends at the latest when the step rounds to nothing
        step = step / 2
        logs = _log_law(weights + step, scaled)
    return weights + step, logs


def _best_shift(counts: Counted) -> float:
    """The q of greatest likelihood, searched in ln(1 + q): a grid, then golden sections."""

    def height(t: float) -> float:
        energies = _energies(len(counts), math.expm1(t))
        return float(counts @ _log_law(_peak(energies, counts), energies))

    ends = math.log1p(Q_LEAST), math.log1p(Q_MOST_RANKS * len(counts))
    grid = np.linspace(*ends, GRID)
    best = int(np.argmax([height(t) for t in grid.tolist()]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, GRID - 1)])
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-5:
        one, two = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, two) if height(one) >= height(two) else (one, high)
    return math.expm1((low + high) / 2)


def _errors(beta: float, q: float, counts: Counted, fixed: bool) -> tuple[float, float]:
    """Standard errors of β and q from the Fisher information; inf where the data do not say."""
    energies = _energies(len(counts), q)
    p = np.exp(_log_law(np.array([beta]), energies))
    scores = np.stack([-energies[0], beta / (np.arange(1, len(counts) + 1) + q)])
    centred = scores - scores @ p[:, None]
    one, both, two = (float(p @ (centred[i] * centred[j])) for i, j in ((0, 0), (0, 1), (1, 1)))
    n = float(counts.sum())
    if fixed:
        return 1 / math.sqrt(n * one), 0.0
    determinant = one * two - both**2
    if determinant <= 1e-12 * one * two:
        return math.inf, math.inf
    return math.sqrt(two / (n * determinant)), math.sqrt(one / (n * determinant))


def _log_normal(counts: Counted) -> Reals:
    """[N]: ln p of the best p(r) ∝ exp(-a ln r - b ln² r), b ≥ 0: a log-normal of the rank."""
    logs = np.log(np.arange(1, len(counts) + 1))
    statistics = np.stack([-logs, -(logs**2)])
    weights = _peak(statistics, counts)
    if weights[1] < 0:  # bent the other way: the best log-normal is the limit b = 0
        weights = np.append(_peak(statistics[:1], counts), 0.0)
    return _log_law(weights, statistics)


def _ratio(counts: Counted, logs: Reals, rival: Reals) -> Ratio:
    gain, n = logs - rival, float(counts.sum())
    nats = float(counts @ gain)
    variance = float(counts @ gain**2) / n - (nats / n) ** 2
    # Two laws that agree everywhere differ by rounding alone: that is no evidence.
    return Ratio(nats, nats / math.sqrt(n * variance) if variance > 1e-18 else 0.0)
