"""Family C: how well predicted ratings, probabilities and scores meet the truth.

All functions take the truth first and the prediction second, both ``[n]`` without NaN, and return a
float; an empty input gives NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide.core.errors import DataError
from honeyguide.metrics.arrays import Index, Vector, group_sum, ratio
from honeyguide.metrics.metric import metric

Array = npt.ArrayLike
_NAN = float("nan")
_AT = "positive where the score is at or above the threshold; labels above 0 are positive"


def _pair(truth: Array, predicted: Array) -> tuple[Vector, Vector]:
    y, p = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise DataError(f"truth {y.shape} and prediction {p.shape} do not match.", "Give two vectors of one length.")
    if np.isnan(y).any() or np.isnan(p).any():
        row = int(np.argmax(np.isnan(y) | np.isnan(p)))
        raise DataError(f"NaN at position {row}.", "Remove or impute missing values first; NaN is never averaged.")
    return y, p


@metric("mae", family="C", high=np.inf, direction="lower", formula="mean |y − p|")
def mae(truth: Array, predicted: Array) -> float:
    """Mean absolute error."""
    y, p = _pair(truth, predicted)
    return float(np.abs(y - p).mean()) if len(y) else _NAN


@metric("mse", family="C", high=np.inf, direction="lower", formula="mean (y − p)²")
def mse(truth: Array, predicted: Array) -> float:
    """Mean squared error."""
    y, p = _pair(truth, predicted)
    return float(((y - p) ** 2).mean()) if len(y) else _NAN


@metric("rmse", family="C", high=np.inf, direction="lower", formula="√ mean (y − p)²")
def rmse(truth: Array, predicted: Array) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(mse(truth, predicted)))


@metric(
    "mape",
    family="C",
    high=np.inf,
    direction="lower",
    formula="mean |y − p| / |y|",
    conventions="truths of zero are skipped; none left → NaN",
)
def mape(truth: Array, predicted: Array) -> float:
    """Mean absolute error as a share of the truth."""
    y, p = _pair(truth, predicted)
    use = y != 0
    return float((np.abs(y - p)[use] / np.abs(y[use])).mean()) if use.any() else _NAN


def _explained(residual: float, y: Vector) -> float:
    total = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    return 1.0 - residual / total if total > 0 else _NAN


@metric(
    "r2", family="C", low=-np.inf, formula="1 − Σ(y − p)² / Σ(y − ȳ)²", conventions="no variance in the truth → NaN"
)
def r2(truth: Array, predicted: Array) -> float:
    """Coefficient of determination."""
    y, p = _pair(truth, predicted)
    return _explained(float(((y - p) ** 2).sum()), y)


@metric(
    "explained_variance",
    family="C",
    low=-np.inf,
    formula="1 − Var(y − p) / Var(y)",
    conventions="no variance in the truth → NaN",
)
def explained_variance(truth: Array, predicted: Array) -> float:
    """As r2, forgiving a constant offset."""
    y, p = _pair(truth, predicted)
    gap = y - p
    return _explained(float(((gap - gap.mean()) ** 2).sum()), y) if len(y) else _NAN


@metric(
    "log_loss",
    family="C",
    high=np.inf,
    direction="lower",
    formula="−mean (y ln p + (1 − y) ln(1 − p))",
    conventions="p clipped to [1e-7, 1 − 1e-7]; natural logarithm",
)
def log_loss(truth: Array, predicted: Array) -> float:
    """Cross-entropy of predicted probabilities."""
    y, p = _pair(truth, predicted)
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean()) if len(y) else _NAN


@metric(
    "auc",
    family="C",
    formula="P(score of a positive > score of a negative) + ½ P(equal)",
    conventions="ties ½; one class only → NaN; labels above 0 are positive",
)
def auc(truth: Array, predicted: Array) -> float:
    """Area under the ROC curve."""
    y, p = _pair(truth, predicted)
    return float(grouped_auc(y, p, np.zeros(len(y), np.int64), 1)[0])


@metric(
    "gauc",
    family="C",
    formula="Σ_u n_u AUC_u / Σ_u n_u",
    conventions="n_u impressions; users with one class only are left out of both sums",
)
def gauc(truth: Array, predicted: Array, users: npt.NDArray[np.integer]) -> float:
    """AUC within users, weighted by their impressions; ``users`` int ``[n]``, codes from 0."""
    y, p = _pair(truth, predicted)
    n = int(users.max(initial=-1)) + 1
    within = grouped_auc(y, p, users.astype(np.int64), n)
    weight = np.bincount(users, minlength=n) * np.isfinite(within)
    return float((np.nan_to_num(within) * weight).sum() / weight.sum()) if weight.sum() else _NAN


def grouped_auc(truth: Vector, scores: Vector, groups: Index, n: int) -> Vector:
    """AUC of every group, from rank sums.

    Parameters
    ----------
    truth, scores
        ``[rows]``.
    groups
        int64 ``[rows]`` in ``[0, n)``.
    n
        Number of groups.

    Returns
    -------
    ndarray
        float64 ``[n]``, NaN where a group has one class only.
    """
    order = np.lexsort((scores, groups))
    y, s, g = truth[order] > 0, scores[order], groups[order]
    new = np.ones(len(y), np.bool_)
    new[1:] = (s[1:] != s[:-1]) | (g[1:] != g[:-1])
    tie = np.cumsum(new) - 1  # number of the run of equal scores
    ends = np.append(np.flatnonzero(new)[1:], len(y))
    average_rank = (np.flatnonzero(new) + 1 + ends) / 2.0  # over all rows, from 1
    size, positive = np.bincount(g, minlength=n), group_sum(g, y, n)
    before = np.cumsum(size) - size
    rank_sum = group_sum(g, np.where(y, average_rank[tie] - before[g], 0.0) if len(y) else y, n)
    wins = rank_sum - positive * (positive + 1) / 2  # Mann–Whitney U
    return ratio(wins, positive * (size - positive))


@metric(
    "pr_auc",
    family="C",
    formula="Σ_n (R_n − R_{n−1}) P_n over descending thresholds",
    conventions="the average-precision form, equal scores share one threshold; no positive → NaN",
)
def pr_auc(truth: Array, predicted: Array) -> float:
    """Area under the precision–recall curve, without interpolation."""
    y, p = _pair(truth, predicted)
    if not (y > 0).any():
        return _NAN
    order = np.argsort(-p, kind="stable")
    found, scores = np.cumsum(y[order] > 0), p[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    precision, recall = found[last] / (last + 1), found[last] / found[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


@metric("brier", family="C", direction="lower", formula="mean (y − p)²", conventions="y in {0, 1}, p a probability")
def brier(truth: Array, predicted: Array) -> float:
    """Squared error of predicted probabilities."""
    return mse(truth, predicted)


@metric(
    "ece",
    family="C",
    direction="lower",
    formula="Σ_b (|b| / n) |mean y_b − mean p_b|",
    conventions="10 bins of equal mass by ascending p (sizes differ by at most one, larger first); "
    "equal p are ordered by y",
)
def ece(truth: Array, predicted: Array, bins: int = 10) -> float:
    """Expected calibration error."""
    y, p = _pair(truth, predicted)
    if not len(y):
        return _NAN
    gap = (y - p)[np.lexsort((y, p))]
    return float(sum(abs(part.sum()) for part in np.array_split(gap, bins)) / len(y))


def _confusion(truth: Array, predicted: Array, threshold: float) -> tuple[int, int, int, int]:
    """True positives, false positives, false negatives, true negatives."""
    y, p = _pair(truth, predicted)
    positive, chosen = y > 0, p >= threshold
    tp, fp, fn = (int(m.sum()) for m in (positive & chosen, ~positive & chosen, positive & ~chosen))
    return tp, fp, fn, len(y) - tp - fp - fn


@metric("precision_at", family="C", formula="TP / (TP + FP)", conventions=f"{_AT}; nothing predicted positive → NaN")
def precision_at(truth: Array, predicted: Array, threshold: float = 0.5) -> float:
    """Share of the predicted positives that are positive."""
    tp, fp, _, _ = _confusion(truth, predicted, threshold)
    return tp / (tp + fp) if tp + fp else _NAN


@metric("recall_at", family="C", formula="TP / (TP + FN)", conventions=f"{_AT}; no positive → NaN")
def recall_at(truth: Array, predicted: Array, threshold: float = 0.5) -> float:
    """Share of the positives that were predicted positive."""
    tp, _, fn, _ = _confusion(truth, predicted, threshold)
    return tp / (tp + fn) if tp + fn else _NAN


@metric(
    "f_beta",
    family="C",
    formula="(1 + β²) TP / ((1 + β²) TP + β² FN + FP)",
    conventions=f"{_AT}; β = 1; nothing positive or predicted so → NaN",
)
def f_beta(truth: Array, predicted: Array, threshold: float = 0.5, beta: float = 1.0) -> float:
    """Weighted harmonic mean of precision and recall."""
    tp, fp, fn, _ = _confusion(truth, predicted, threshold)
    under = (1 + beta**2) * tp + beta**2 * fn + fp
    return (1 + beta**2) * tp / under if under else _NAN


@metric("accuracy", family="C", formula="(TP + TN) / n", conventions=_AT)
def accuracy(truth: Array, predicted: Array, threshold: float = 0.5) -> float:
    """Share of right decisions."""
    tp, fp, fn, tn = _confusion(truth, predicted, threshold)
    n = tp + fp + fn + tn
    return (tp + tn) / n if n else _NAN


@metric("specificity", family="C", formula="TN / (TN + FP)", conventions=f"{_AT}; no negative → NaN")
def specificity(truth: Array, predicted: Array, threshold: float = 0.5) -> float:
    """Share of the negatives that were predicted negative."""
    _, fp, _, tn = _confusion(truth, predicted, threshold)
    return tn / (tn + fp) if tn + fp else _NAN


@metric(
    "concordance",
    family="C",
    formula="share of the pairs y_i < y_j with p_i < p_j, equal p counting ½",
    conventions="pairs with equal truth are left out; none → NaN; O(n log² n)",
)
def concordance(truth: Array, predicted: Array) -> float:
    """Share of differing pairs that are predicted in the right order (concordance index)."""
    y, p = _pair(truth, predicted)
    truths, ranks = (np.unique(side, return_inverse=True)[1] for side in (y, p))
    ordered = len(y) * (len(y) - 1) // 2 - _tied(truths)
    if ordered == 0:
        return _NAN
    rising = _rising(ranks[np.lexsort((-ranks, truths))])  # equal truths stand in falling order: none of them rises
    equal = _tied(ranks) - _tied(truths * len(y) + ranks)
    return float((rising + equal / 2) / ordered)


def _tied(codes: Index) -> int:
    """Number of pairs of equal codes."""
    sizes = np.unique(codes, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def _rising(ranks: Index) -> int:
    """Number of pairs i < j with ``ranks[i] < ranks[j]``, by merging sorted runs of doubling width."""
    n = len(ranks)
    size = 1 << max(0, n - 1).bit_length()
    runs = np.full(size, -1, np.int64)  # padding at the end is below everything and never rises
    runs[:n] = ranks
    total, span = 0, n + 2
    width = 1
    while width < size:
        pairs = np.sort(runs.reshape(-1, 2, width), axis=-1)
        shift = np.arange(len(pairs))[:, None] * span + 1
        left, right = (pairs[:, 0] + shift).ravel(), (pairs[:, 1] + shift).ravel()
        below = np.searchsorted(left, right) - np.repeat(np.arange(len(pairs)) * width, width)
        total += int(below[(pairs[:, 1] >= 0).ravel()].sum())
        width *= 2
    return total
