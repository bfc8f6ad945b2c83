"""Logits of a model that trains on, kept as sharp as they were when the weights beside them were learnt.

A weighted sum of a standard score and of the logarithm of a softmax share depends on how sharp the softmax is: the
first does not change with it, the second does. Where the two have weights of opposite signs, a part that has become
sharper can even count the other way round.
"""

from __future__ import annotations

import numpy as np

from honeyguide.core.fitting import Change
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.models.fusion import score_features

_SAMPLE = 100  # histories by which sharpness is measured
_RANGE = 16.0  # by which a temperature may move at once
_HALVINGS = 24


def sample_of(change: Change) -> Ragged:
    """Histories that the model knows already: some of those that change, as they were, and of the others given."""
    known = change.before if change.replay is None else change.before.concat_rows(change.replay.known())
    rows = np.flatnonzero(known.lengths)
    return known.take(rows[np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64)])


def sharpness(logits: FloatArray) -> float:
    """Mean deviation over the catalogue of the logarithm of the share, the second of the features of a score.

    Parameters
    ----------
    logits
        float32 ``[n, m]``.
    """
    return float(score_features(logits, "logit")[1].std(axis=1).mean()) if len(logits) else 0.0


def temperature(logits: FloatArray, wanted: float) -> float:
    """What to divide ``logits`` by for a :func:`sharpness` of ``wanted``: by bisection; 1 where it cannot be told."""
    if not len(logits) or wanted <= 0 or sharpness(logits) <= 0:
        return 1.0
    low, high = 1 / _RANGE, _RANGE
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if sharpness(logits / np.float32(middle)) > wanted else (low, middle)
    return float(np.sqrt(low * high))
