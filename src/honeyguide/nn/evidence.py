"""What a log tells of an item beside its text: how many took it, and how many took it with others.

Everything is counted less one: an event of the log counts for itself otherwise, and what does not belong to a history
would vouch for itself. Shapes: m items, e events, n places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.ragged import FloatArray, Ragged


@dataclass(frozen=True)
class Evidence:
    """Counts of a log, or none.

    Parameters
    ----------
    counts
        float32 ``[m]``: people who took an item, less one.
    together
        float32 ``[m, m]``: people who took both of two items, less one; symmetric, nothing on the diagonal. What only
        one person did is not in it.
    n_features
        2, or 0 where nothing is to be said.
    """

    counts: FloatArray
    together: sp.csr_matrix
    n_features: int = 2

    @classmethod
    def of(cls, matrix: sp.csr_matrix) -> Self:
        """Counts of people ``[n, m]``."""
        once = matrix.astype(np.float32)
        once.data[:] = 1.0
        together = (once.T @ once).tocsr()
        together.setdiag(0)
        together.data -= 1.0
        together.data[together.data < 0] = 0.0
        together.eliminate_zeros()
        together.sort_indices()
        counts = np.maximum(np.asarray(once.sum(axis=0)).ravel() - 1, 0).astype(np.float32)
        return cls(counts, together)

    @classmethod
    def nothing(cls, n_items: int) -> Self:
        """Of a log that is not looked at."""
        return cls(np.zeros(n_items, np.float32), sp.csr_matrix((n_items, n_items), dtype=np.float32), 0)

    def events(self, windows: Ragged) -> FloatArray:
        """float32 ``[e, f]``: log(1 + how many took it and another of its window), log(1 + how many took it)."""
        if not self.n_features:
            return np.empty((len(windows.values), 0), np.float32)
        beside = (self._picking(windows.rows, windows.values, len(windows)) @ self.together).tocsr()
        near = np.asarray(beside[windows.rows, windows.values], np.float32).ravel()
        found: FloatArray = np.log1p(np.stack([near, self.counts[windows.values]], axis=1)).astype(np.float32)
        return found

    def candidates(
        self, windows: Ragged, places: npt.NDArray[np.int64], items: npt.NDArray[np.integer] | None = None
    ) -> FloatArray:
        """float32 ``[n, k, f]``: the same of ``items`` ``[k]``, or of all, in the place of those at ``places`` ``[n]``.

        Parameters
        ----------
        windows
            In ``places`` of whose values what stands there is not looked at.
        """
        counts = self.counts if items is None else self.counts[items]
        found = np.zeros((len(places), len(counts), self.n_features), np.float32)
        if self.n_features:
            own = self._picking(np.arange(len(places)), windows.values[places], len(places))
            near = self._picking(windows.rows, windows.values, len(windows)).tocsr()[windows.rows[places]] - own
            together = self.together if items is None else self.together[:, items]
            beside = (near @ together).tocoo()
            found[beside.row, beside.col, 0] = np.log1p(beside.data)
            found[:, :, 1] = np.log1p(counts)
        return found

    def _picking(self, rows: npt.NDArray[np.integer], items: npt.NDArray[np.integer], n: int) -> sp.csr_matrix:
        ones = np.ones(len(items), np.float32)
        return sp.csr_matrix((ones, (rows, items)), shape=(n, len(self.counts)))
