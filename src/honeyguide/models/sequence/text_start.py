"""Item vectors to start training from: items described in like words begin near each other."""

from __future__ import annotations

import numpy as np

from honeyguide.core.ragged import FloatArray

_POWER = 0.5  # of the singular values: between whitening (0) and the components themselves (1)


def text_start(vectors: FloatArray, dim: int, std: float, seed: int) -> FloatArray:
    """The leading principal components of text vectors, as a start for an item table.

    With ``X - mean = U S V'`` the result is ``U S^0.5`` of the ``dim`` largest singular values, scaled to one
    standard deviation. Items without text start at noise of a fortieth of it, as do components beyond the rank.

    Parameters
    ----------
    vectors
        float32 ``[m, d]``, of length one; zeros where an item has no text.
    dim
        Width of the result.
    std
        Standard deviation of all its numbers.
    seed
        Of the noise.

    Returns
    -------
    ndarray
        float32 ``[m, dim]``.
    """
    described = np.linalg.norm(vectors, axis=1) > 0
    start = np.zeros((len(vectors), dim))
    if described.any():
        x = vectors[described].astype(np.float64)
        x -= x.mean(axis=0)
        values, directions = np.linalg.eigh(x.T @ x)  # rising: squares of the singular values, and V
        order = np.argsort(-values)[:dim]
        singular = np.sqrt(np.maximum(values[order], 0.0))
        scale = np.divide(singular**_POWER, singular, out=np.zeros_like(singular), where=singular > 1e-9)
        start[described, : len(order)] = x @ directions[:, order] * scale
        start *= std / max(start.std(), 1e-12)
    start += np.random.default_rng(seed).normal(0.0, std / 40, start.shape)
    return start.astype(np.float32)
