"""Top-k selection, the inner loop of every recommendation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.ragged import FloatArray, IntArray, Ragged

NEVER = np.float32(-np.inf)

_BLOCK = 1 << 18  # scores looked at together: 1 MiB, so that the passes over them stay in the cache
_GROUPS = 128
_LOWEST = np.finfo(np.float32).min


def exclude_in_place(scores: FloatArray, exclude: Ragged) -> None:
    """Set ``scores[i, exclude[i]]`` to minus infinity.

    Parameters
    ----------
    scores
        float32 ``[n, n_items]``, changed in place.
    exclude
        ``n`` lists of item codes; those outside ``[0, n_items)`` are ignored.
    """
    known = (exclude.values >= 0) & (exclude.values < scores.shape[1])
    scores[exclude.rows[known], exclude.values[known]] = NEVER


def demote_in_place(scores: FloatArray, truth: Ragged) -> None:
    """Make ties pessimistic: lower the scores of the relevant items by one unit in the last place.

    Parameters
    ----------
    scores
        float32 ``[n, n_items]``, changed in place.
    truth
        ``n`` lists of relevant item codes, none of them -1.
    """
    rows, columns = truth.rows, truth.values
    scores[rows, columns] = np.nextafter(scores[rows, columns], NEVER)


def top_k(scores: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """The ``k`` highest scores of each row, best first; ties by the lower item code.

    Parameters
    ----------
    scores
        float32 ``[n, n_items]``; minus infinity and NaN mark items that may not be returned.
    k
        Length of each list.

    Returns
    -------
    items, values
        int32 and float32 ``[n, k]``, padded with -1 and minus infinity where a row has
        fewer than ``k`` allowed items.
    """
    n, m = scores.shape
    items = np.full((n, k), -1, np.int32)
    values = np.full((n, k), NEVER, np.float32)
    if m == 0 or k == 0:
        return items, values
    step = max(1, _BLOCK // m)
    for start in range(0, n, step):
        block = scores[start : start + step]
        rows, columns = np.divmod(np.flatnonzero(_candidates(block, min(k, m))), m)
        found = block[rows, columns]
        order = np.lexsort((columns, -found, rows))  # by row, then best first, then lower code
        rows, columns, found = rows[order], columns[order], found[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, np.arange(len(block)))[rows]
        kept = rank < k
        items[start + rows[kept], rank[kept]] = columns[kept]
        values[start + rows[kept], rank[kept]] = found[kept]
    return items, values


def top_k_sparse(scores: sp.csr_matrix, k: int, excluded: Ragged) -> tuple[IntArray, FloatArray, npt.NDArray[np.bool_]]:
    """The ``k`` highest positive entries of each row that are not excluded, best first; ties by the lower code.

    Parameters
    ----------
    scores
        float32 ``[n, n_items]``, finite, no entry stored twice; the order of the entries of a row does not matter.
    k
        Length of each list.
    excluded
        ``n`` lists of item codes never to return.

    Returns
    -------
    items, values, complete
        int32 and float32 ``[n, k]``, padded with -1 and minus infinity; and bool ``[n]``, whether a row has
        ``k`` such entries. Where it has, they are those that :func:`top_k` finds in the dense row.
    """
    n, m = scores.shape
    items = np.full((n, k), -1, np.int32)
    values = np.full((n, k), NEVER, np.float32)
    lengths = np.diff(scores.indptr)
    wanted = k + excluded.lengths  # so many, that k are left without the excluded ones
    bound = _bounds(scores, wanted)
    kept = np.flatnonzero(scores.data >= np.repeat(bound, lengths))
    rows = np.searchsorted(scores.indptr, kept, side="right") - 1
    columns, found = scores.indices[kept], scores.data[kept]
    known = (excluded.values >= 0) & (excluded.values < m)
    hidden = excluded.rows[known] * m + excluded.values[known]  # (row, item) pairs as one number
    allowed = ~np.isin(rows * m + columns, hidden)
    rows, columns, found = rows[allowed], columns[allowed], found[allowed]
    order = np.lexsort((columns, -found, rows))
    rows, columns, found = rows[order], columns[order], found[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, np.arange(n))[rows]
    best = rank < k
    items[rows[best], rank[best]] = columns[best]
    values[rows[best], rank[best]] = found[best]
    return items, values, items[:, -1] >= 0


def _bounds(scores: sp.csr_matrix, wanted: npt.NDArray[np.int64]) -> FloatArray:
    """float32 ``[n]``: at least ``wanted[i]`` entries of row i reach bound i, or it is the least positive number.

    As in :func:`_candidates`, by the maxima of disjoint groups of entries.
    """
    n, lengths = scores.shape[0], np.diff(scores.indptr)
    bound = np.full(n, np.nextafter(np.float32(0), np.float32(1)), np.float32)
    width = max(_GROUPS, 4 * int(wanted.max(initial=0)))
    long = np.flatnonzero(lengths >= 2 * width)
    if not len(long):
        return bound
    within = (np.arange(width) * lengths[long, None]) // width  # [long rows, width]
    starts = scores.indptr[long, None] + within
    ends = np.append(starts.ravel()[1:], 0)  # a group of reduceat ends where the next begins: close the last of a row
    ends[width - 1 :: width] = scores.indptr[long + 1]
    edges = np.stack([starts.ravel(), np.minimum(ends, len(scores.data) - 1)], axis=1).ravel()
    maxima = np.sort(np.maximum.reduceat(scores.data, edges)[::2].reshape(len(long), width), axis=1)
    bound[long] = np.maximum(bound[long], maxima[np.arange(len(long)), width - wanted[long]])
    return bound


def _candidates(scores: FloatArray, k: int) -> npt.NDArray[np.bool_]:
    """Mark in every row a few entries among which its top ``k`` are.

    One pass takes the maxima of disjoint groups of columns. At least k groups reach the k-th
    largest of these maxima, hence so does the k-th largest score, and the rest can be forgotten.
    """
    n, m = scores.shape
    width = max(_GROUPS, 4 * k)
    bound = np.full(n, _LOWEST, np.float32)
    if m >= 2 * width:
        whole = m - m % width
        maxima = scores[:, :whole].reshape(n, -1, width).max(axis=1)  # [n, width]
        maxima[np.isnan(maxima)] = NEVER
        bound = np.maximum(bound, np.partition(maxima, width - k, axis=1)[:, width - k])
    marked = scores >= bound[:, None]
    crowded = np.flatnonzero(np.count_nonzero(marked, axis=1) > width)
    if len(crowded):  # many ties, or a catalogue too small for groups
        marked[crowded] = _exactly(scores[crowded], bound[crowded], k)
    return marked


def _exactly(scores: FloatArray, bound: FloatArray, k: int) -> npt.NDArray[np.bool_]:
    """Mark exactly the top ``k`` of every row, the lowest codes among ties; none of them is below ``bound``."""
    scores[np.isnan(scores)] = NEVER
    kth = bound[:, None].copy()  # the k-th score itself, unless k others are above it
    more = np.flatnonzero(np.count_nonzero(scores > kth, axis=1) > k)
    kth[more] = -np.partition(-scores[more], k - 1, axis=1)[:, k - 1, None]  # on the fast side of ties
    above = scores > kth
    room = k - np.count_nonzero(above, axis=1, keepdims=True)
    tied = scores == kth
    marked: npt.NDArray[np.bool_] = above | (tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= room))
    return marked
