"""Agreement of two rankings for the same users: Kendall τ on the intersection, Jaccard, rank-biased overlap."""

from __future__ import annotations

import numpy as np

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import IntArray
from honeyguide.metrics.arrays import Index, Vector, ratio
from honeyguide.metrics.metric import metric

_CELLS = 1 << 22  # comparisons held at once
_PLAIN = "lists without repeated items, padded with -1"


@metric(
    "kendall_lists",
    family="D",
    low=-1.0,
    direction="neither",
    formula="(concordant − discordant) / pairs, over the items in both lists",
    conventions=f"{_PLAIN}; fewer than two common items → NaN; ranks are compared, never item codes",
)
def kendall_lists(a: IntArray, b: IntArray, k: int) -> Vector:
    """Kendall τ of the order in which two lists hold their common items.

    Parameters
    ----------
    a, b
        int32 ``[n, width]``.
    k
        Cut-off.

    Returns
    -------
    ndarray
        float64 ``[n]``.
    """
    result = np.full(len(a), np.nan)
    step = max(1, _CELLS // (k * k))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        user, _, rank_b = _common(a[rows, :k], b[rows, :k])
        n = len(a[rows])
        count = np.bincount(user, minlength=n)
        ranks = np.full((n, int(count.max(initial=0))), -1)  # [n, most common items], ranks in b in the order of a
        starts = np.cumsum(count) - count
        ranks[user, np.arange(len(user)) - starts[user]] = rank_b
        first, second = ranks[:, :, None], ranks[:, None, :]
        later = np.triu(np.ones((ranks.shape[1],) * 2, np.bool_), 1) & (second >= 0)
        balance = (np.sign(second - first) * later).sum(axis=(1, 2))
        pairs = count * (count - 1) / 2
        result[rows] = ratio(balance, pairs)
    return result


@metric(
    "jaccard_lists",
    family="D",
    direction="neither",
    formula="|A ∩ B| / |A ∪ B|",
    conventions=f"{_PLAIN}; two empty lists → 1",
)
def jaccard_lists(a: IntArray, b: IntArray, k: int) -> Vector:
    """Jaccard similarity of the first ``k`` items of two lists, float64 ``[n]``."""
    user, _, _ = _common(a[:, :k], b[:, :k])
    shared = np.bincount(user, minlength=len(a))
    union = np.count_nonzero(a[:, :k] >= 0, axis=1) + np.count_nonzero(b[:, :k] >= 0, axis=1) - shared
    return ratio(shared, union, 1.0)


@metric(
    "rbo",
    family="D",
    direction="neither",
    formula="((1−p)/p) (Σ_{d≤l} (X_d/d) p^d + Σ_{s<d≤l} (X_s (d−s)/(s d)) p^d) + ((X_l − X_s)/l + X_s/s) p^l",
    conventions=f"{_PLAIN}; extrapolated (Webber 2010, eq. 32); X_d overlap at depth d, lengths s ≤ l; "
    "one empty list → 0, two → NaN; p = .9",
)
def rbo(a: IntArray, b: IntArray, k: int, p: float = 0.9) -> Vector:
    """Rank-biased overlap of two lists, extrapolated beyond their ends.

    Parameters
    ----------
    a, b
        int32 ``[n, width]``.
    k
        Cut-off.
    p
        How likely the reader goes on to the next rank.

    Returns
    -------
    ndarray
        float64 ``[n]``, 1 for equal lists.
    """
    a, b = a[:, :k], b[:, :k]
    n, width = a.shape
    user, rank_a, rank_b = _common(a, b)
    first_shared = user * width + np.maximum(rank_a, rank_b)
    overlap = np.bincount(first_shared, minlength=n * width).reshape(n, width).cumsum(axis=1)  # X_d, [n, width]
    lengths = np.count_nonzero(a >= 0, axis=1), np.count_nonzero(b >= 0, axis=1)
    short, long = np.minimum(*lengths), np.maximum(*lengths)
    depth = np.arange(1, width + 1)
    padded = np.concatenate([np.zeros((n, 1), overlap.dtype), overlap], axis=1)
    x_short, x_long = padded[np.arange(n), short], padded[np.arange(n), long]
    s = np.maximum(short, 1)
    weights = p**depth * (depth <= long[:, None])  # [n, width]
    beyond = (depth > short[:, None]) * x_short[:, None] * (depth - short[:, None]) / (s[:, None] * depth)
    agreement = ((overlap / depth + beyond) * weights).sum(axis=1)
    tail = ((x_long - x_short) / np.maximum(long, 1) + x_short / s) * p**long
    value = (1 - p) / p * agreement + tail
    return np.where(long == 0, np.nan, value)


def _common(a: IntArray, b: IntArray) -> tuple[Index, ...]:
    """Row, rank in ``a`` and rank in ``b`` of every item that both lists hold, by row and rank in ``a``."""
    if a.shape != b.shape:
        raise DataError(f"lists of shapes {a.shape} and {b.shape} cannot be compared.", "Pad them with -1.")
    n, width = a.shape
    size = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    rows = np.arange(n)[:, None] * size
    keys_a, keys_b = (a + rows)[a >= 0], (b + rows)[b >= 0]
    cells_a, cells_b = np.flatnonzero(a >= 0), np.flatnonzero(b >= 0)
    order = np.argsort(keys_b, kind="stable")
    if len(order) == 0:
        return (np.empty(0, np.int64),) * 3
    place = np.minimum(np.searchsorted(keys_b, keys_a, sorter=order), len(order) - 1)
    shared = keys_b[order[place]] == keys_a
    user, rank_a = np.divmod(cells_a[shared], width)
    return user, rank_a, cells_b[order[place[shared]]] % width
