"""Family F: groups of users, calibration, unexpectedness, stability and robustness.

The formulas of joint fairness and relevance (distance to the Pareto frontier) are a subject of their
own; what stands here are the gaps and diagnostics that every comparison can print.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import IntArray
from honeyguide.metrics.agreement import rbo
from honeyguide.metrics.arrays import Index, Vector, group_sum, ratio
from honeyguide.metrics.candidates import history_similarity
from honeyguide.metrics.lists import Lists
from honeyguide.metrics.metric import metric

_GROUPS = "NaN users are left out, and groups without users; fewer than two groups → NaN"


def group_means(values: npt.NDArray[np.floating], groups: npt.NDArray[np.integer]) -> Vector:
    """float64 ``[n_groups]``: the mean of per-user values ``[n]`` in every group, NaN for empty groups.

    Parameters
    ----------
    values
        Per-user values; NaN is left out.
    groups
        int ``[n]`` from 0; -1 is no group.

    Raises
    ------
    DataError
        If the lengths differ.
    """
    use, n = _usable(values, groups)
    size = np.bincount(groups[use], minlength=n)
    return ratio(group_sum(groups[use], values[use], n), size)


def _usable(values: npt.NDArray[np.floating], groups: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.bool_], int]:
    if len(values) != len(groups):
        raise DataError(f"{len(values)} values but {len(groups)} group numbers.", "Give every user one group.")
    return np.isfinite(values) & (groups >= 0), int(groups.max(initial=-1)) + 1


@metric(
    "group_gap",
    family="F",
    high=np.inf,
    direction="lower",
    formula="max_g mean_g − min_g mean_g",
    conventions=_GROUPS,
)
def group_gap(values: npt.NDArray[np.floating], groups: npt.NDArray[np.integer]) -> float:
    """Difference between the best and the worst served group."""
    means = group_means(values, groups)
    means = means[np.isfinite(means)]
    return float(means.max() - means.min()) if len(means) > 1 else float("nan")


@metric(
    "group_ratio",
    family="F",
    formula="min_g mean_g / max_g mean_g",
    conventions=f"for metrics ≥ 0; all zero → 1; {_GROUPS}",
)
def group_ratio(values: npt.NDArray[np.floating], groups: npt.NDArray[np.integer]) -> float:
    """Worst served group as a share of the best."""
    means = group_means(values, groups)
    means = means[np.isfinite(means)]
    if len(means) < 2:
        return float("nan")
    return float(means.min() / means.max()) if means.max() > 0 else 1.0


@metric(
    "group_js",
    family="F",
    direction="lower",
    formula="H(mean_g P_g) − mean_g H(P_g), in units of log₂(number of groups)",
    conventions=f"P_g is the histogram of the metric in group g: 20 equal bins over [0, 1]; {_GROUPS}",
)
def group_js(values: npt.NDArray[np.floating], groups: npt.NDArray[np.integer], bins: int = 20) -> float:
    """Jensen–Shannon divergence between the groups' distributions of a metric in [0, 1]; 1 where they are disjoint."""
    use, n = _usable(values, groups)
    cell = np.clip((values[use] * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(groups[use] * bins + cell, minlength=n * bins).reshape(n, bins)
    counts = counts[counts.sum(axis=1) > 0]
    if len(counts) < 2:
        return float("nan")
    shares = counts / counts.sum(axis=1, keepdims=True)
    divergence = _entropy(shares.mean(axis=0)) - np.mean([_entropy(row) for row in shares])
    return float(np.clip(divergence / np.log2(len(counts)), 0.0, 1.0))


def _entropy(shares: Vector) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())


@metric(
    "calibration_kl",
    family="F",
    kind="per_user",
    needs=("histories", "genres"),
    high=np.inf,
    direction="lower",
    formula="Σ_g p_g ln(p_g / (.99 q_g + .01 p_g))",
    conventions="p and q: mean genre shares of history and of list; items without genres are left out; "
    "no genre on either side → skipped",
)
def calibration_kl(lists: Lists, k: int) -> Vector:
    """Divergence of the list's genres from those of the user's history (Steck 2018, α = .01)."""
    assert lists.histories is not None
    history = lists.histories
    rows, columns = np.nonzero(lists.items[:, :k] >= 0)
    q = _genres(lists, rows, lists.items[rows, columns])
    known = history.values >= 0
    p = _genres(lists, history.rows[known], history.values[known])
    blurred = 0.99 * q + 0.01 * p
    terms = p * np.log(ratio(p, blurred, 1.0), out=np.zeros_like(p), where=p > 0)
    usable = (p.sum(axis=1) > 0) & (q.sum(axis=1) > 0)
    return np.where(usable, terms.sum(axis=1), np.nan)


def _genres(lists: Lists, rows: Index, items: IntArray) -> Vector:
    """float64 ``[n, n_genres]``: each row's mean genre shares, summing to one or to zero."""
    shares = lists.catalogue.genre_shares
    holds = sp.csr_matrix((np.ones(len(rows)), (rows, items)), shape=(len(lists), lists.catalogue.n_items))
    total = np.asarray((holds @ shares).todense(), np.float64)
    return ratio(total, total.sum(axis=1, keepdims=True), 0.0)


@metric(
    "unexpectedness",
    family="F",
    kind="per_user",
    needs=("histories", "similarity"),
    high=2.0,
    direction="neither",
    formula="mean over L of 1 − mean_{j∈H} sim(i, j)",
    conventions="whether relevant or not; an empty history is unlike everything; empty list skipped",
)
def unexpectedness(lists: Lists, k: int) -> Vector:
    """How unlike the user's history the list is."""
    rows, columns = np.nonzero(lists.items[:, :k] >= 0)
    unlike = 1.0 - history_similarity(lists, rows, lists.items[rows, columns])
    return ratio(group_sum(rows, unlike, len(lists)), lists.length(k))


@metric(
    "stability_rbo",
    family="F",
    formula="mean over users of RBO of the lists before and after",
    conventions="p = .9, extrapolated; users with two empty lists are left out",
)
def stability_rbo(before: IntArray, after: IntArray, k: int, p: float = 0.9) -> float:
    """How much of the lists stays when the model is trained again (another seed, another day).

    Parameters
    ----------
    before, after
        int32 ``[n, width]``, the lists of the same users.
    k
        Cut-off.
    p
        As in :func:`~honeyguide.metrics.agreement.rbo`.
    """
    values = rbo(before, after, k, p)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


@metric(
    "robustness_drop",
    family="F",
    low=-np.inf,
    direction="lower",
    formula="(clean − perturbed) / clean, of means over users with both",
    conventions="NaN users are left out in pairs; a clean mean of zero → NaN",
)
def robustness_drop(clean: npt.NDArray[np.floating], perturbed: npt.NDArray[np.floating]) -> float:
    """Share of a metric that is lost when the input is perturbed; per-user values ``[n]`` of the same users."""
    both = np.isfinite(clean) & np.isfinite(perturbed)
    base = float(clean[both].mean()) if both.any() else 0.0
    return (base - float(perturbed[both].mean())) / base if base != 0 else float("nan")
