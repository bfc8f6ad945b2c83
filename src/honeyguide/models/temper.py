"""Logits of a model that trains on, kept as sharp as they were when the weights beside them were learnt.

A weighted sum of a standard score and of the logarithm of a softmax share depends on how sharp the softmax is: the
first does not change with it, the second does. Where the two have weights of opposite signs, a part that has become
sharper can even count the other way round.
"""

from __future__ import annotations

import numpy as np

from honeyguide.core.fitting import Change
from honeyguide.core.ragged import FloatArray, Ragged

_SAMPLE = 50  # histories by which sharpness is measured


def sample_of(change: Change) -> Ragged:
    """Histories that the model knows already: some of those that change, as they were, and of the others given."""
    known = change.before if change.replay is None else change.before.concat_rows(change.replay.known())
    rows = np.flatnonzero(known.lengths)
    return known.take(rows[np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64)])


def sharpness(logits: FloatArray) -> float:
    """Mean deviation of the logits over the catalogue: unlike that of log-shares, no floor keeps it from growing.

    Parameters
    ----------
    logits
        float32 ``[n, m]``.
    """
    return float(logits.std(axis=1).mean()) if len(logits) else 0.0


def temperature(logits: FloatArray, wanted: float) -> float:
    """What to divide ``logits`` by for a :func:`sharpness` of ``wanted``; 1 where it cannot be told."""
    found = sharpness(logits)
    return found / wanted if wanted > 0 and found > 0 else 1.0
