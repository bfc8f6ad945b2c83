"""Which histories are long: the rule by which sequence models choose what suits them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LONG = 20  # events of the median history


def are_long(lengths: npt.NDArray[np.int64]) -> bool:
    """Whether histories (of ratings, plays) are long: their median, of those with two events, is 20 or more.

    Parameters
    ----------
    lengths
        Events of each history.
    """
    useful = lengths[lengths >= 2]
    return len(useful) > 0 and bool(np.median(useful) >= _LONG)
