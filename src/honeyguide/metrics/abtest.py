"""Family G, experiments: lift with its interval, CUPED, the always-valid sequential test, sample sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import DataError
from honeyguide.metrics.arrays import Vector
from honeyguide.metrics.metric import metric

Array = npt.NDArray[np.floating] | npt.NDArray[np.integer]


@dataclass(frozen=True)
class Lift:
    """Relative change of A over B.

    Parameters
    ----------
    value
        ``(A − B) / B``.
    low, high
        Interval.
    """

    value: float
    low: float
    high: float


@metric(
    "lift",
    family="G",
    low=-np.inf,
    high=np.inf,
    formula="(Ā − B̄) / B̄ ± z √(s²_A / (n_A B̄²) + Ā² s²_B / (n_B B̄⁴))",
    conventions="delta method on the ratio of independent means; B̄ = 0 → NaN; fewer than two on a side → no interval",
)
def lift(a: Array, b: Array, level: float = 0.95) -> Lift:
    """Lift of variant A over B with a delta-method interval.

    Parameters
    ----------
    a, b
        ``[n_a]``, ``[n_b]``: one value per randomised unit (user).
    level
        Coverage of the interval.
    """
    from scipy.special import ndtri

    mean_a, mean_b = _mean(a), _mean(b)
    if mean_b == 0 or np.isnan(mean_a + mean_b):
        return Lift(np.nan, np.nan, np.nan)
    value = (mean_a - mean_b) / mean_b
    if min(len(a), len(b)) < 2:
        return Lift(value, np.nan, np.nan)
    variance = np.var(a, ddof=1) / len(a) / mean_b**2 + mean_a**2 * np.var(b, ddof=1) / len(b) / mean_b**4
    margin = float(ndtri((1 + level) / 2) * np.sqrt(variance))
    return Lift(value, value - margin, value + margin)


@metric(
    "lift_bootstrap",
    family="G",
    low=-np.inf,
    high=np.inf,
    formula="(Ā − B̄) / B̄ and the quantiles of it over resamples of both sides",
    conventions="percentile bootstrap, 1,000 resamples, seeded; B̄ = 0 → NaN",
)
def lift_bootstrap(a: Array, b: Array, level: float = 0.95, n: int = 1000, seed: int = 0) -> Lift:
    """Lift of variant A over B with a bootstrap interval; parameters as for :func:`lift`."""
    from honeyguide.metrics.stats import resampled_means

    mean_a, mean_b = _mean(a), _mean(b)
    if mean_b == 0 or np.isnan(mean_a + mean_b):
        return Lift(np.nan, np.nan, np.nan)
    over = resampled_means(np.asarray(a, np.float64)[:, None], n, seed)[:, 0]
    under = resampled_means(np.asarray(b, np.float64)[:, None], n, seed + 1)[:, 0]
    ratios = over[under != 0] / under[under != 0] - 1.0
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Lift((mean_a - mean_b) / mean_b, float(low), float(high))


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else float("nan")


@metric(
    "cuped",
    family="G",
    low=-np.inf,
    high=np.inf,
    direction="neither",
    formula="y − θ (x − x̄), θ = Cov(x, y) / Var(x)",
    conventions="x is measured before the experiment, θ over both arms together; no variance in x → y unchanged",
)
def cuped(outcome: Array, before: Array) -> Vector:
    """Outcomes with the part explained by a pre-experiment covariate removed (Deng et al. 2013).

    Parameters
    ----------
    outcome
        ``[users]`` of both arms.
    before
        ``[users]``, the covariate, such as the same metric in the weeks before.

    Returns
    -------
    ndarray
        float64 ``[users]`` with the same mean and variance times ``1 − corr²``.
    """
    y, x = np.asarray(outcome, np.float64), np.asarray(before, np.float64)
    if y.shape != x.shape:
        raise DataError(f"{len(y)} outcomes but {len(x)} covariates.", "Give one covariate per user.")
    centred = x - x.mean() if len(x) else x
    spread = float(centred @ centred)
    theta = float(centred @ y) / spread if spread > 0 else 0.0
    adjusted: Vector = y - theta * centred
    return adjusted


@metric(
    "sequential",
    family="G",
    direction="neither",
    formula="p_n = min_{m≤n} 1/Λ_m, Λ = √(V/(V+τ²)) exp(τ² δ² / (2 V (V+τ²)))",
    conventions="mixture sequential probability ratio test, normal mixture; δ difference of running means, "
    "V its variance; starts at two observations per arm",
)
def sequential(a: Array, b: Array, tau: float) -> Vector:
    """Always-valid p-values of a running experiment (Johari et al. 2017, mSPRT).

    Parameters
    ----------
    a, b
        ``[n]`` outcomes of both arms in order of arrival.
    tau
        Standard deviation of the differences expected, in the unit of the outcome.

    Returns
    -------
    ndarray
        float64 ``[n]``: the p-value after each pair of observations; stop whenever it is small enough.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.shape != y.shape:
        raise DataError(f"{len(x)} and {len(y)} outcomes.", "Cut both arms to the same number of arrivals.")
    count = np.arange(1, len(x) + 1)
    difference = (np.cumsum(x) - np.cumsum(y)) / count
    variance = _running_variance(x) + _running_variance(y)
    p = np.ones(len(x))
    use = (count >= 2) & (variance > 0)
    v = variance[use] / count[use]
    log_ratio = 0.5 * np.log(v / (v + tau**2)) + tau**2 * difference[use] ** 2 / (2 * v * (v + tau**2))
    p[use] = np.exp(-np.maximum(log_ratio, 0.0))
    return np.minimum.accumulate(p)


def _running_variance(values: Vector) -> Vector:
    """Sample variance of the first n values, for every n; 0 for n = 1."""
    count = np.arange(1, len(values) + 1)
    shifted = values - (values[0] if len(values) else 0.0)  # keeps the sums of squares small
    squares = np.cumsum(shifted**2) - np.cumsum(shifted) ** 2 / count
    return np.maximum(squares, 0.0) / np.maximum(count - 1, 1)


@metric(
    "sample_size",
    family="G",
    high=np.inf,
    direction="lower",
    formula="⌈2 σ² (z_{1−α/2} + z_{power})² / δ²⌉ per arm",
    conventions="two-sided, normal approximation; σ² = p(1 − p) for rates",
)
def sample_size(effect: float, variance: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Users per arm needed to detect an absolute difference.

    Parameters
    ----------
    effect
        Smallest difference δ worth finding.
    variance
        Variance σ² of the outcome per user.
    alpha, power
        Level of the two-sided test and its power.

    Raises
    ------
    DataError
        If the effect is zero or the variance negative.
    """
    from scipy.special import ndtri

    if effect == 0 or variance < 0:
        raise DataError("a difference of zero cannot be detected, and a variance is not negative.", "Check the input.")
    reach = float(ndtri(1 - alpha / 2) + ndtri(power))
    return int(np.ceil(2 * variance * reach**2 / effect**2))
