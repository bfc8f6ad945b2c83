"""From logits to probabilities: calibration on held-out events, and the correction for sampled negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from honeyguide.core.ragged import FloatArray

Method = Literal["platt", "temperature", "none"]
_PULL = 1.0  # of the identity, in events: a handful of held-out events must not decide alone
_LEAST_SLOPE = 0.05


@dataclass(frozen=True)
class Calibration:
    """``p = sigmoid(slope z + shift)``; order-preserving, since the slope is positive.

    Parameters
    ----------
    slope, shift
        Fitted on held-out events.
    correction
        Added to the logit for negatives that were sampled, see :func:`sampling_correction`.
    """

    slope: float = 1.0
    shift: float = 0.0
    correction: float = 0.0

    @classmethod
    def fit(
        cls, logits: npt.NDArray[np.floating], labels: npt.NDArray[np.floating], method: Method, correction: float = 0.0
    ) -> Calibration:
        """Platt (1999) scaling, or temperature (Guo et al. 2017: no shift); the identity unless both classes are there.

        Parameters
        ----------
        logits, labels
            ``[n]`` of held-out events, with negatives sampled as in training.
        method
            What to fit.
        correction
            As in the class.
        """
        z, y = np.asarray(logits, np.float64), np.asarray(labels, np.float64)
        if method == "none" or not 0 < y.sum() < len(y):
            return cls(correction=correction)
        moves = np.array([1.0, float(method == "platt")])

        def loss(step: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
            slope, shift = np.array([1.0, 0.0]) + step * moves
            u = slope * z + shift
            gap = expit(u) - y
            value = np.logaddexp(0, u).sum() - (y * u).sum() + 0.5 * _PULL * (step**2).sum()
            return float(value), np.array([gap @ z, gap.sum()]) * moves + _PULL * step

        step = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(_LEAST_SLOPE - 1, None), (None, None)])
        slope, shift = np.array([1.0, 0.0]) + step.x * moves
        return cls(float(slope), float(shift), correction)

    def probabilities(self, logits: FloatArray) -> FloatArray:
        """float32, the shape of ``logits``."""
        found: FloatArray = expit(self.slope * logits + self.shift + self.correction).astype(np.float32)
        return found

    def pack(self) -> dict[str, float]:
        """JSON-able."""
        return {"slope": self.slope, "shift": self.shift, "correction": self.correction}


def sampling_correction(ratio: int, n_items: int) -> float:
    """What to add to a logit learnt with ``ratio`` uniform negatives an event (King & Zeng 2001, equation 7).

    Of the ``n_items - 1`` items that an event was not, ``ratio`` were kept, so the odds that were learnt are
    ``(n_items - 1) / ratio`` times too high. The result is the odds that the next event is this item.
    """
    return float(np.log(ratio / max(1, n_items - 1)))
