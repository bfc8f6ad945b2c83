"""Re-ranking for variety. Shapes: c candidates, d width, k places."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray

Positions = npt.NDArray[np.int64]


def mmr(relevance: FloatArray, vectors: FloatArray, k: int, weight: float) -> Positions:
    """Maximal marginal relevance (Carbonell & Goldstein 1998): places of the candidates in their new order, ``[k]``.

    Each place goes to the candidate with the largest ``(1 - w) r_i - w max_j cos(v_i, v_j)`` over the j chosen so far.

    Parameters
    ----------
    relevance
        float32 ``[c]`` in [0, 1].
    vectors
        float32 ``[c, d]`` of length one or zero.
    k
        Places to fill, at most c.
    weight
        w in [0, 1].
    """
    closest = np.full(len(relevance), -1.0, np.float32)  # cosine with the nearest chosen one
    open_ = np.ones(len(relevance), np.bool_)
    chosen = np.empty(min(k, len(relevance)), np.int64)
    for place in range(len(chosen)):
        gain = (1 - weight) * relevance - weight * (closest if place else np.float32(0))
        chosen[place] = best = int(np.argmax(np.where(open_, gain, -np.inf)))
        open_[best] = False
        np.maximum(closest, vectors @ vectors[best], out=closest)
    return chosen


def dpp(relevance: FloatArray, vectors: FloatArray, k: int, weight: float) -> Positions:
    """Greedy maximum of a determinantal point process (Chen et al. 2018, algorithm 1): places in the new order.

    The kernel is ``L_ij = q_i S_ij q_j`` with ``q_i = exp(a r_i)``, ``a = (1 - w) / (2 w)`` (their equation 13) and
    S the cosines, ``(1 + cos) / 2`` so that it is positive semidefinite with entries in [0, 1]. Each step adds
    the candidate of largest gain in ``log det L``, by an incremental Cholesky factor: O(k^2 c) in all. Once no
    candidate adds volume the rest follow by relevance.

    Parameters
    ----------
    relevance, vectors, k, weight
        As in :func:`mmr`.
    """
    c = len(relevance)
    if weight <= 0:
        return np.argsort(-relevance, kind="stable")[:k]
    log_quality = (1 - weight) / (2 * weight) * relevance.astype(np.float64)
    volume = np.where(vectors.any(axis=1), 1.0, 0.5)  # S_ii, less what the chosen explain
    factor = np.zeros((min(k, c), c))
    chosen: list[int] = []
    open_ = np.ones(c, np.bool_)
    for place in range(min(k, c)):
        gain = np.where(open_ & (volume > 1e-9), 2 * log_quality + np.log(np.maximum(volume, 1e-300)), -np.inf)
        best = int(np.argmax(gain))
        if gain[best] == -np.inf:
            break
        chosen.append(best)
        open_[best] = False
        similar = (1 + vectors @ vectors[best]) / 2
        row = (similar - factor[:place].T @ factor[:place, best]) / np.sqrt(volume[best])
        factor[place] = row
        volume = volume - row**2
    rest = np.flatnonzero(open_)
    rest = rest[np.argsort(-relevance[rest], kind="stable")]
    return np.concatenate([np.array(chosen, np.int64), rest])[: min(k, c)]


def spread(scores: FloatArray) -> FloatArray:
    """Scores scaled to [0, 1]; all 1 where they are equal."""
    finite = np.isfinite(scores)
    if not finite.any():
        return np.ones(len(scores), np.float32)
    low, high = float(scores[finite].min()), float(scores[finite].max())
    if high <= low:
        return np.ones(len(scores), np.float32)
    return ((np.where(finite, scores, low) - low) / (high - low)).astype(np.float32)
