"""Top-k by inner product over a large catalogue, without looking at every item."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.topk import NEVER, exclude_in_place, top_k

_USERS, _ITEMS = 1024, 4096  # vectors multiplied together: 16 MiB of scores
_SLACK = np.float32(1.0 + 1e-5)  # rounding of norms and products


def unit(vectors: FloatArray) -> FloatArray:
    """float32, a vector or rows of them, of length 1; those of length 0 stay."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


def top_k_cosine(vectors: FloatArray, items: IntArray, k: int) -> tuple[IntArray, FloatArray]:
    """The ``k`` items of largest cosine with each of ``items``, without itself: int32 and float32 ``[n, k]``."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
    cosine: FloatArray = (unit(vectors[items]) @ vectors.T / lengths).astype(np.float32)  # [n, m]
    cosine[np.arange(len(items)), items] = NEVER
    return top_k(cosine, k)


def top_k_inner_product(users: FloatArray, items: FloatArray, k: int, excluded: Ragged) -> tuple[IntArray, FloatArray]:
    """The ``k`` items of largest inner product with each user, best first; ties by the lower code.

    Items are taken in blocks of falling norm. By Cauchy and Schwarz no score in a block is above
    ``|x| max |y|``, so a user whose k-th best score is above that is done. The result is exact.

    Parameters
    ----------
    users
        float32 ``[n, d]``.
    items
        float32 ``[m, d]``.
    k
        Length of each list.
    excluded
        ``n`` lists of item codes never to return; those outside ``[0, m)`` are ignored.

    Returns
    -------
    items, values
        int32 and float32 ``[n, k]``, padded with -1 and minus infinity.
    """
    n, m = len(users), len(items)
    norms = np.linalg.norm(items, axis=1)  # [m]
    falling = np.argsort(-norms, kind="stable")
    blocks = [np.sort(falling[start : start + _ITEMS]) for start in range(0, m, _ITEMS)]  # by code, so that ties are
    place = np.empty(m, np.int64)
    place[np.concatenate([*blocks, np.empty(0, np.int64)]).astype(np.int64)] = np.arange(m)
    known = (excluded.values >= 0) & (excluded.values < m)
    hidden = Ragged.from_groups(
        excluded.rows[known], place[excluded.values[known]].astype(np.int32), n
    )  # in the order of the blocks
    found = np.full((n, k), -1, np.int32)
    values = np.full((n, k), NEVER, np.float32)
    lengths = np.linalg.norm(users, axis=1) * _SLACK  # [n]
    tops = [float(norms[block].max()) for block in blocks]
    for start in range(0, n, _USERS):
        rows = np.arange(start, min(n, start + _USERS))
        for number, block in enumerate(blocks):
            rows = rows[lengths[rows] * np.float32(tops[number]) >= values[rows, k - 1]]
            if not len(rows):
                break
            scores = users[rows] @ items[block].T  # [open users, items of the block]
            _hide(scores, hidden.take(rows), number * _ITEMS)
            local, best = top_k(scores, k)
            codes = np.where(local >= 0, block[np.maximum(local, 0)], -1)
            found[rows], values[rows] = _merge(found[rows], values[rows], codes, best)
    return found, values


def _hide(scores: FloatArray, hidden: Ragged, first: int) -> None:
    """Exclude the places ``first`` and following, as columns of ``scores``."""
    columns = hidden.values - np.int32(first)
    inside = (columns >= 0) & (columns < scores.shape[1])
    exclude_in_place(scores, Ragged.from_groups(hidden.rows[inside], columns[inside], len(hidden)))


def _merge(
    a: IntArray, a_values: FloatArray, b: npt.NDArray[np.integer], b_values: FloatArray
) -> tuple[IntArray, FloatArray]:
    """The best of two lists a row."""
    codes, values = np.concatenate([a, b], axis=1), np.concatenate([a_values, b_values], axis=1)
    order = np.lexsort((codes, -values), axis=1)[:, : a.shape[1]]
    return np.take_along_axis(codes, order, 1).astype(np.int32), np.take_along_axis(values, order, 1)
