"""Family H: the value of a policy from the log of another one.

Symbols: reward ``r``, probability ``μ`` that the logging policy gave to what it showed, probability ``π``
that the evaluated policy gives to it, weight ``w = π / μ``. Every estimator returns one term per
logged row, float64 ``[n]``; the estimate is their mean, and
:func:`~honeyguide.metrics.stats.bootstrap_ci` of the terms is its interval.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import DataError
from honeyguide.metrics.arrays import Index, Vector
from honeyguide.metrics.metric import metric

Array = npt.NDArray[np.floating]
_MEAN = "terms per row, the estimate is their mean"


def weights(target: Array, logged: Array) -> Vector:
    """Importance weights ``w = π / μ``, of any shape.

    Raises
    ------
    DataError
        If a logged probability is not in (0, 1], or one of the target is negative.
    """
    logged, target = np.asarray(logged, np.float64), np.asarray(target, np.float64)
    bad = ~((logged > 0) & (logged <= 1)) | ~(target >= 0)
    if bad.any():
        row = int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
        raise DataError(
            f"row {row} of the log has a probability out of range.",
            "Logged propensities must be in (0, 1]: leave out rows that the logging policy could not produce.",
        )
    return target / logged


@metric("ips", family="H", low=-np.inf, high=np.inf, formula="mean w r", conventions=f"unbiased; {_MEAN}")
def ips(reward: Array, target: Array, logged: Array) -> Vector:
    """Inverse propensity scoring; all parameters ``[n]``."""
    return weights(target, logged) * reward


@metric(
    "snips",
    family="H",
    low=-np.inf,
    high=np.inf,
    formula="Σ w r / Σ w",
    conventions="self-normalised: stays within the range of the rewards; all weights zero → NaN; "
    "terms n w r / Σ w, their mean is the estimate",
)
def snips(reward: Array, target: Array, logged: Array) -> Vector:
    """Self-normalised inverse propensity scoring (Swaminathan & Joachims 2015)."""
    w = weights(target, logged)
    total = w.sum()
    return w * reward * (len(w) / total) if total > 0 else np.full(len(w), np.nan)


@metric(
    "clipped_ips",
    family="H",
    low=-np.inf,
    high=np.inf,
    formula="mean min(w, M) r",
    conventions=f"default M = 10; {_MEAN}",
)
def clipped_ips(reward: Array, target: Array, logged: Array, clip: float = 10.0) -> Vector:
    """Inverse propensity scoring with weights of at most ``clip``: less variance, some bias."""
    clipped: Vector = np.minimum(weights(target, logged), clip) * reward
    return clipped


@metric(
    "direct_method",
    family="H",
    low=-np.inf,
    high=np.inf,
    formula="mean Σ_a π(a) q̂(a)",
    conventions=f"as good as the reward model q̂; {_MEAN}",
)
def direct_method(target_all: Array, predicted: Array) -> Vector:
    """Value that a reward model promises.

    Parameters
    ----------
    target_all
        ``[n, actions]``, probabilities of the evaluated policy.
    predicted
        ``[n, actions]``, predicted rewards.
    """
    promised: Vector = (np.asarray(target_all, np.float64) * predicted).sum(axis=1)
    return promised


@metric(
    "doubly_robust",
    family="H",
    low=-np.inf,
    high=np.inf,
    formula="mean Σ_a π(a) q̂(a) + w (r − q̂(shown))",
    conventions=f"unbiased if the propensities or q̂ are right; {_MEAN}",
)
def doubly_robust(reward: Array, action: Index, logged: Array, target_all: Array, predicted: Array) -> Vector:
    """Direct method corrected by importance-weighted residuals (Dudík et al. 2011).

    Parameters
    ----------
    reward, action, logged
        ``[n]``: reward, code of the action shown, its logged probability.
    target_all, predicted
        ``[n, actions]``, as for :func:`direct_method`.
    """
    return switch_dr(reward, action, logged, target_all, predicted, threshold=np.inf)


@metric(
    "switch_dr",
    family="H",
    low=-np.inf,
    high=np.inf,
    formula="mean Σ_a π(a) q̂(a) + [w ≤ τ] w (r − q̂(shown))",
    conventions=f"default τ = 10; τ = ∞ is doubly_robust, τ = 0 direct_method; {_MEAN}",
)
def switch_dr(
    reward: Array, action: Index, logged: Array, target_all: Array, predicted: Array, threshold: float = 10.0
) -> Vector:
    """Doubly robust where weights are moderate, the reward model alone elsewhere (Wang et al. 2017)."""
    rows = np.arange(len(reward))
    w = weights(target_all[rows, action], logged)
    residual = np.where(w <= threshold, w, 0.0) * (reward - predicted[rows, action])
    value: Vector = direct_method(target_all, predicted) + residual
    return value


@metric(
    "slate_pi",
    family="H",
    low=-np.inf,
    high=np.inf,
    formula="mean r (1 + Σ_l (w_l − 1))",
    conventions=f"for rewards that add over slots and logging that fills slots independently; {_MEAN}",
)
def slate_pseudo_inverse(reward: Array, target: Array, logged: Array) -> Vector:
    """Pseudo-inverse estimator of whole slates (Swaminathan et al. 2017).

    Parameters
    ----------
    reward
        ``[n]``, one reward per slate.
    target, logged
        ``[n, slots]``, probabilities of the item shown in each slot.
    """
    value: Vector = reward * (1.0 + (weights(target, logged) - 1.0).sum(axis=1))
    return value


@metric(
    "position_ips",
    family="H",
    low=-np.inf,
    high=np.inf,
    formula="mean Σ_l w_l r_l",
    conventions=f"the reward of a slot depends on the item in that slot alone; {_MEAN}",
)
def position_ips(reward: Array, target: Array, logged: Array) -> Vector:
    """Position-based inverse propensity scoring (Li et al. 2018); all parameters ``[n, slots]``."""
    value: Vector = (weights(target, logged) * reward).sum(axis=1)
    return value


@metric(
    "effective_sample_size",
    family="H",
    high=np.inf,
    formula="(Σw)² / Σw²",
    conventions="at most n; all weights zero → 0",
)
def effective_sample_size(target: Array, logged: Array) -> float:
    """How many rows of the evaluated policy's own log would be as informative."""
    w = weights(target, logged)
    return float(w.sum() ** 2 / (w**2).sum()) if w.any() else 0.0


@metric(
    "regret",
    family="H",
    high=np.inf,
    direction="lower",
    formula="Σ_t (max_a q_t(a) − q_t(chosen))",
    conventions="q are expected rewards; the running sum is returned",
)
def regret(expected: Array, action: Index) -> Vector:
    """Cumulative regret ``[n]`` of the actions chosen, given expected rewards ``[n, actions]``."""
    lost = expected.max(axis=1) - expected[np.arange(len(expected)), action]
    running: Vector = np.cumsum(lost, dtype=np.float64)
    return running
