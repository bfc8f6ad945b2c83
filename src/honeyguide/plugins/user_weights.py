"""Trust in users that is lost by being flagged again and again, and its weight in a loss (LoRec)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray

MOST = 1 / 3  # of the users may be flagged at once: more, and who flags them is not ready
MILD = 0.5  # a weight above this is one


@dataclass
class UserWeights:
    """A logit for every user: all begin alike, and what the flagged lose the others share.

    Parameters
    ----------
    logits
        Float32 ``[n]``, a.
    flags
        Int64 ``[n]``: how often each was flagged.
    start
        What all began with.
    """

    logits: FloatArray
    flags: npt.NDArray[np.int64]
    start: float

    @classmethod
    def of(cls, n: int, start: float) -> Self:
        """Full trust in ``n`` users."""
        return cls(np.full(n, start, np.float32), np.zeros(n, np.int64), start)

    def flag(self, users: IntArray, scores: FloatArray, margin: float = 0.0) -> float | None:
        """Take 1 from the logit of those above the mean score, and spread it over the others.

        Parameters
        ----------
        users
            Those who are judged; nobody else is touched.
        scores
            float32 ``[len(users)]``.
        margin
            Standard deviations above the mean from which on one is flagged.

        Returns
        -------
        float or None
            The share that was flagged; ``None`` where it would be a third or more, and nothing is changed.
        """
        above = scores > scores.mean() + margin * scores.std()
        if above.sum() >= MOST * len(users):
            return None
        flagged, others = users[above], users[~above]
        self.logits[flagged] -= 1
        self.logits[others] += len(flagged) / len(others)
        self.flags[flagged] += 1
        return float(np.float32(above.mean()))  # as a checkpoint holds it

    def effective(self) -> FloatArray:
        """``w = sigmoid(a) / sigmoid(start)``, float32 ``[n]``; 1 where above a half, so that doubt costs nothing."""
        w = (1 + np.exp(-self.start)) / (1 + np.exp(-self.logits))
        return np.where(w > MILD, 1.0, w).astype(np.float32)
