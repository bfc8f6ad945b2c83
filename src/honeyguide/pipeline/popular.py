"""Events of every item, counted as they come, and the most popular of what may be shown."""

from __future__ import annotations

from threading import Lock

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray

_TOP = 4096  # items kept in order: enough for a list under most filters


class Popular:
    """Items by their events. Safe to share between threads.

    While counts only rise, of the items outside the first 4,096 only those with new events can come in: a list costs a
    look at these few, however many the items are. Where events are taken back, the first are looked for anew.

    Parameters
    ----------
    counts
        float32 ``[m]``; written into by :meth:`count`.
    """

    def __init__(self, counts: FloatArray) -> None:
        self.counts = counts
        self._top: IntArray | None = None
        self._touched: set[int] = set()
        self._lock = Lock()

    def count(self, codes: IntArray, events: npt.ArrayLike = 1) -> None:
        """Add events of items, or with negative numbers take them back; unknown items (-1) are skipped."""
        known = np.asarray(codes) >= 0
        with self._lock:
            np.add.at(self.counts, codes[known], np.broadcast_to(events, len(codes))[known])
            self._touched.update(codes[known].tolist())
            if np.min(events, initial=0) < 0:
                self._top = None

    def best(self, may: npt.NDArray[np.bool_], n: int) -> IntArray:
        """The ``n`` most popular of what may be shown, int32, ties by the lower code.

        Parameters
        ----------
        may
            bool ``[m]``: what may be shown.
        n
            How many.
        """
        top = self._first()
        found = top[may[top]]
        if len(found) < n and len(top) < len(self.counts):
            found = self._sorted(np.flatnonzero(may))
        return found[:n]

    def _first(self) -> IntArray:
        """int32: the first items in order, as they are now."""
        with self._lock:
            if self._top is None or len(self._touched) > _TOP:
                bound = max(0, len(self.counts) - _TOP)
                edge = np.partition(self.counts, bound)[bound] if bound else np.float32(-np.inf)
                self._top = self._sorted(np.flatnonzero(self.counts >= edge))[:_TOP]
            elif self._touched:
                touched = np.fromiter(self._touched, np.int32, len(self._touched))
                self._top = self._sorted(np.union1d(self._top, touched))[:_TOP]
            self._touched.clear()
            return self._top

    def _sorted(self, codes: npt.NDArray[np.integer]) -> IntArray:
        return codes[np.lexsort((codes, -self.counts[codes]))].astype(np.int32)
