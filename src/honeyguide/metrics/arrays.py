"""Array types of this room, and division that says what an empty denominator gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.floating] | npt.NDArray[np.integer] | npt.NDArray[np.bool_]


def ratio(over: Numbers, under: Numbers, otherwise: float = float("nan")) -> Vector:
    """Elementwise ``over / under`` in float64; ``otherwise`` where ``under`` is not above zero."""
    shape = np.broadcast_shapes(np.shape(over), np.shape(under))
    result = np.full(shape, otherwise)
    np.divide(over, under, out=result, where=np.broadcast_to(np.greater(under, 0), shape))
    return result


def group_sum(groups: npt.NDArray[np.integer], values: Numbers, n: int) -> Vector:
    """float64 ``[n]``: the sum of ``values`` over each group number."""
    totals: Vector = np.bincount(groups, weights=values, minlength=n).astype(np.float64, copy=False)
    return totals
