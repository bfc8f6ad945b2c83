"""Top-k selection, the inner loop of every recommendation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged

NEVER = np.float32(-np.inf)


def exclude_in_place(scores: FloatArray, exclude: Ragged) -> None:
    """Set ``scores[i, exclude[i]]`` to minus infinity.

    Parameters
    ----------
    scores
        float32 ``[n, n_items]``, changed in place.
    exclude
        ``n`` lists of item codes; codes of -1 are ignored.
    """
    known = exclude.values >= 0
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
        float32 ``[n, n_items]``; minus infinity marks items that may not be returned.
    k
        Length of each list.

    Returns
    -------
    items, values
        int32 and float32 ``[n, k]``, padded with -1 and minus infinity where a row has
        fewer than ``k`` allowed items.
    """
    n, m = scores.shape
    width = min(k, m)
    items = np.full((n, k), -1, np.int32)
    values = np.full((n, k), NEVER, np.float32)
    if width == 0:
        return items, values
    if width < m:
        part = np.argpartition(scores, m - width, axis=1)[:, m - width :]
        threshold = np.take_along_axis(scores, part, axis=1).min(axis=1)
        part = _settle_ties(scores, part, threshold)
    else:
        part = np.broadcast_to(np.arange(m), (n, m))
    chosen = np.take_along_axis(scores, part, axis=1)
    order = np.lexsort((part, -chosen), axis=1)
    items[:, :width] = np.take_along_axis(part, order, axis=1)
    values[:, :width] = np.take_along_axis(chosen, order, axis=1)
    items[values == NEVER] = -1
    return items, values


def _settle_ties(scores: FloatArray, part: npt.NDArray[np.intp], threshold: FloatArray) -> npt.NDArray[np.intp]:
    """Where the k-th score is shared by items left outside, choose the lowest codes among them."""
    width = part.shape[1]
    inside = (np.take_along_axis(scores, part, axis=1) == threshold[:, None]).sum(axis=1)
    everywhere = np.empty(len(scores), np.int64)
    step = max(1, 4_000_000 // scores.shape[1])
    for start in range(0, len(scores), step):
        block = slice(start, start + step)
        everywhere[block] = np.count_nonzero(scores[block] == threshold[block, None], axis=1)
    for row in np.flatnonzero((everywhere > inside) & (threshold > NEVER)):
        above = np.flatnonzero(scores[row] > threshold[row])
        tied = np.flatnonzero(scores[row] == threshold[row])
        part[row] = np.concatenate([above, tied])[:width]
    return part
