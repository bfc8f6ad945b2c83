"""Item vectors to start training from: items that occur near each other begin near each other."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.models.linear.transitions import normalise, transition_counts

_WINDOW = 5  # steps, as in the linear floor


def cooccurrence_vectors(histories: Ragged, n_items: int, dim: int, std: float, seed: int) -> FloatArray:
    """The leading spectral embedding of "occurs within five steps of", as a start for an item table.

    With M as in :func:`~honeyguide.models.linear.transitions.transition_counts` and D the row sums of
    ``M + M'``, the vectors are ``V sqrt(w)`` for the ``dim`` largest eigenvalues w of
    ``D^-1/2 (M + M') D^-1/2`` (Belkin & Niyogi 2003), scaled to one standard deviation. Noise of a
    fortieth of it tells apart items that nothing is known of.

    Parameters
    ----------
    histories
        Training histories, oldest first.
    n_items, dim
        Shape of the result.
    std
        Standard deviation of all its numbers.
    seed
        Of the noise and of the first vector of the Lanczos iteration.

    Returns
    -------
    ndarray
        float32 ``[n_items, dim]``.
    """
    rng = np.random.default_rng(seed)
    vectors = np.zeros((n_items, dim))
    k = min(dim, n_items - 1)
    counts = transition_counts(histories, n_items, _WINDOW)
    if k > 0 and counts.nnz:
        both = sp.csr_matrix(normalise((counts + counts.T).tocsr(), "sym"), dtype=np.float64)
        values, found = eigsh(both, k=k, which="LA", v0=rng.random(n_items) + 0.5, tol=1e-4)
        vectors[:, :k] = found * np.sqrt(np.maximum(values, 0.0))
        vectors *= std / max(vectors.std(), 1e-12)
    vectors += rng.normal(0.0, std / 40, vectors.shape)
    return vectors.astype(np.float32)


def with_new_items(vectors: FloatArray, histories: Ragged, n_items: int) -> FloatArray:
    """A table of item vectors that has grown: a new item begins at the mean of those that stand beside it.

    Parameters
    ----------
    vectors
        float32 ``[old, dim]``.
    histories
        Histories in which new items occur; one that occurs beside no old item begins at the mean of all.
    n_items
        Size of the catalogue now.

    Returns
    -------
    ndarray
        float32 ``[n_items, dim]``; the first rows are those of ``vectors``.
    """
    old = len(vectors)
    follows = transition_counts(histories, n_items, 1)
    beside = (follows + follows.T).tocsr()[old:, :old]  # [new, old]
    total = beside.sum(axis=1).A1[:, None]
    mean = np.where(total > 0, (beside @ vectors) / np.maximum(total, 1.0), vectors.mean(axis=0))
    return np.concatenate([vectors, mean]).astype(np.float32)
