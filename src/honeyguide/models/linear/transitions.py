"""What follows what, and how much a recent event counts: the sequential half of the linear floor."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sp

from honeyguide.core.ragged import FloatArray, Ragged

Normalisation = Literal["raw", "row", "sym"]


def transition_counts(histories: Ragged, n_items: int, window: int) -> sp.csr_matrix:
    """``M[i, j]``: sum of ``1 / distance`` over events of i followed by j at most ``window`` steps later.

    Parameters
    ----------
    histories
        One list per user, oldest first.
    n_items
        Size of the matrix.
    window
        Largest distance.

    Returns
    -------
    csr_matrix
        float32 ``[n_items, n_items]``.
    """
    total = sp.csr_matrix((n_items, n_items), dtype=np.float32)
    rows, values = histories.rows, histories.values
    for distance in range(1, window + 1):
        same = rows[:-distance] == rows[distance:]
        earlier, later = values[:-distance][same], values[distance:][same]
        steps = np.full(len(earlier), 1.0 / distance, np.float32)
        total += sp.csr_matrix((steps, (earlier, later)), shape=total.shape)
    return total


def transition_difference(before: Ragged, after: Ragged, n_items: int, window: int) -> sp.csr_matrix:
    """:func:`transition_counts` of ``after`` less those of ``before``, from where each pair of histories parts.

    Parameters
    ----------
    before, after
        Histories of the same users, oldest first.
    n_items, window
        As in :func:`transition_counts`.
    """
    shared = np.minimum(before.lengths, after.lengths)
    within = np.arange(shared.sum()) - np.repeat(np.cumsum(shared) - shared, shared)
    rows = np.repeat(np.arange(len(shared)), shared)
    apart = before.values[before.offsets[rows] + within] != after.values[after.offsets[rows] + within]
    prefix = shared.copy()
    np.minimum.at(prefix, rows[apart], within[apart])
    tail = np.maximum(prefix - window, 0)  # an event reaches no further back
    new = transition_counts(after.last_of(after.lengths - tail), n_items, window)
    inner = transition_counts(before.last_of(before.lengths - tail), n_items, window)
    return (new - inner).tocsr()


def normalise(counts: sp.csr_matrix, how: Normalisation) -> sp.csr_matrix:
    """``M`` as it is, divided by its row sums, or by the square root of row sum times column sum."""
    if how == "raw":
        return counts
    rows = np.maximum(counts.sum(axis=1).A1, 1e-12)
    if how == "row":
        return (sp.diags(1.0 / rows) @ counts).astype(np.float32).tocsr()
    columns = np.maximum(counts.sum(axis=0).A1, 1e-12)
    return (sp.diags(rows**-0.5) @ counts @ sp.diags(columns**-0.5)).astype(np.float32).tocsr()


def recency(histories: Ragged, decay: float) -> FloatArray:
    """float32 ``[nnz]``: ``decay ** age`` of every event, with the age counted in known items.

    Unknown items (-1), and events whose weight is below the resolution of float32 beside that of the
    newest, weigh nothing.
    """
    known = histories.values >= 0
    so_far = np.concatenate([[0], np.cumsum(known)])
    ages = np.repeat(so_far[histories.offsets[1:]], histories.lengths) - so_far[1:]
    weights = np.where(known, decay ** ages.astype(np.float64), 0.0)
    weights[weights < np.finfo(np.float32).eps] = 0.0
    return weights.astype(np.float32)


def recent_events(histories: Ragged, n_items: int, decay: float) -> sp.csr_matrix:
    """float32 ``[n, n_items]``: sums of :func:`recency`."""
    matrix = histories.to_csr(n_items, recency(histories, decay))
    matrix.eliminate_zeros()
    return matrix
