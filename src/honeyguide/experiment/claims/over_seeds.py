"""What claims share: a mean over seeds with its interval, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.experiment.papers import Verdict


def student(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Mean over seeds and its 95 % interval, ``mean ± t s / sqrt(n)``; two values or more."""
    from scipy.special import stdtrit

    n, mean = len(values), float(np.mean(values))
    half = float(stdtrit(n - 1, 0.975)) * float(np.std(values, ddof=1)) / n**0.5
    return mean, (mean - half, mean + half)


def verdict(holds: bool) -> Verdict:
    """In the words of the evidence."""
    return "holds" if holds else "does not hold"
