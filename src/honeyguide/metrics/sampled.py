"""Sampled metrics: one relevant item ranked among m random others, always labelled, with a correction.

Full ranking is the default everywhere else. These exist to compare with published sampled numbers and
to say what they would be under full ranking (Krichene & Rendle, KDD 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import ConfigError
from honeyguide.metrics.arrays import Index, Vector
from honeyguide.metrics.metric import metric

Base = Literal["hit", "mrr", "ndcg"]


@dataclass(frozen=True, eq=False)
class Sampled:
    """A metric over sampled candidates.

    Parameters
    ----------
    label
        What it must be called, for example ``ndcg@10 (sampled 100)``.
    per_user
        float64 ``[n]``.
    """

    label: str
    per_user: Vector

    @property
    def mean(self) -> float:
        """Mean over users."""
        return float(self.per_user.mean()) if len(self.per_user) else float("nan")


def sampled_ranks(relevant: npt.NDArray[np.floating], others: npt.NDArray[np.floating]) -> Index:
    """Rank of each relevant item among its sample, ties against it.

    Parameters
    ----------
    relevant
        ``[n]``, scores of the relevant items.
    others
        ``[n, m]``, scores of sampled items.

    Returns
    -------
    ndarray
        int64 ``[n]``, from 1 to m + 1.
    """
    ranks: Index = 1 + np.count_nonzero(others >= relevant[:, None], axis=1)
    return ranks


@metric(
    "sampled",
    family="D",
    formula="hit, mrr or ndcg of the rank r̃ among m sampled items",
    conventions="labelled '(sampled m)'; not comparable with full ranking, nor between different m",
)
def sampled(ranks: Index, base: Base, k: int, m: int) -> Sampled:
    """Evaluate sampled ranks ``[n]`` (from 1 to m + 1) as they are."""
    values = _by_rank(base, k, m + 1)[np.asarray(ranks) - 1]
    return Sampled(f"{base}@{k} (sampled {m})", values)


@metric(
    "sampled_corrected",
    family="D",
    low=-np.inf,
    high=np.inf,
    formula="f̂(r̃), f̂ minimising E[(1 − γ)(E[f̂ | r] − f(r))² + γ Var(f̂ | r)], r̃ − 1 ~ Bin(m, (r − 1)/(n − 1))",
    conventions="estimates the full-ranking value; ranks r a priori uniform; default γ = .01 (0: least bias, most "
    "variance); single users' values may leave [0, 1]",
)
def sampled_corrected(ranks: Index, base: Base, k: int, m: int, n_items: int, gamma: float = 0.01) -> Sampled:
    """Estimate the full-ranking metric from sampled ranks.

    Parameters
    ----------
    ranks
        int ``[n]``, from 1 to m + 1.
    base, k
        The metric and its cut-off.
    m
        Size of the samples, drawn uniformly with replacement.
    n_items
        Items in the catalogue that could have been ranked.
    gamma
        Weight of the variance against the squared bias.
    """
    weights = _corrected(base, k, m, n_items, gamma)
    return Sampled(f"{base}@{k} (sampled {m}, corrected)", weights[np.asarray(ranks) - 1])


def _by_rank(base: Base, k: int, n: int) -> Vector:
    """float64 ``[n]``: the metric of one relevant item at the ranks 1 to n."""
    rank = np.arange(1, n + 1)
    worth = {"hit": np.ones(n), "mrr": 1.0 / rank, "ndcg": 1.0 / np.log2(rank + 1)}
    if base not in worth:
        raise ConfigError(f"there is no sampled metric {base!r}.", "Choose hit, mrr or ndcg.")
    return np.where(rank <= k, worth[base], 0.0)


def _corrected(base: Base, k: int, m: int, n: int, gamma: float) -> Vector:
    """float64 ``[m + 1]``, solution of Krichene & Rendle 2020, eq. 18."""
    from scipy.special import gammaln, xlog1py, xlogy

    seen = np.arange(m + 1)  # r̃ − 1
    share = (np.arange(n) / max(n - 1, 1))[:, None]  # probability that a sampled item stands above, [n, 1]
    ways = gammaln(m + 1) - gammaln(seen + 1) - gammaln(m - seen + 1)
    chance = np.exp(ways + xlogy(seen, share) + xlog1py(m - seen, -share))  # P(r̃ | r), [n, m + 1]
    target = _by_rank(base, k, n)
    gram = (1 - gamma) * chance.T @ chance + gamma * np.diag(chance.sum(axis=0))
    solution: Vector = np.linalg.lstsq(gram, chance.T @ target, rcond=None)[0]
    return solution
