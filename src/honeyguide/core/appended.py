"""Arrays that get more rows again and again without being copied each time."""

from __future__ import annotations

import threading
import weakref
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=np.generic)

_RESERVE = 8  # one row more is set aside for each so many: what is not written to takes no memory
_LEAST = 64
_FILLED: dict[int, tuple[weakref.ref[npt.NDArray[Any]], int]] = {}  # by id: an array with a reserve, rows written
_LOCK = threading.Lock()


def appended(rows: npt.NDArray[T], more: npt.NDArray[T]) -> npt.NDArray[T]:
    """``rows`` and ``more`` behind them, as ``np.concatenate`` gives; not to be written into.

    Parameters
    ----------
    rows
        ``[n, ...]``. It stays as it is. What came from this function has a reserve behind its end, into which
        the first that is appended to it is written; anything else is copied.
    more
        ``[k, ...]``.

    Returns
    -------
    ndarray
        ``[n + k, ...]``; it shares memory with ``rows`` where there was a reserve.
    """
    n = len(rows) + len(more)
    with _LOCK:
        whole = _reserve_behind(rows, n)
        if whole is None:
            whole = np.empty((n + n // _RESERVE + _LEAST, *rows.shape[1:]), rows.dtype)
            whole[: len(rows)] = rows
        whole[len(rows) : n] = more
        key = id(whole)
        _FILLED[key] = weakref.ref(whole, lambda _: _FILLED.pop(key, None)), n
    return whole[:n]


def _reserve_behind(rows: npt.NDArray[T], n: int) -> npt.NDArray[T] | None:
    """The array that ``rows`` is the written part of, if ``n`` rows fit into it."""
    known, filled = _FILLED.get(id(rows.base), (None, 0))
    whole = known() if known is not None else None
    if whole is None or whole is not rows.base or filled != len(rows) or n > len(whole):
        return None
    first = rows.__array_interface__["data"] == whole.__array_interface__["data"]
    return whole if first and rows.shape[1:] == whole.shape[1:] and rows.dtype == whole.dtype else None
