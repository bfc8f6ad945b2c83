"""How many users have taken both of two items: what item-to-item models keep in order to be updated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.artifact import Arrays, pack_csr, unpack_csr
from honeyguide.core.errors import CapabilityError
from honeyguide.core.fitting import STATISTICS
from honeyguide.core.ragged import FloatArray

MOST_PAIRS = 1 << 26  # 1 GiB, half of it in an artifact; a model of more is not kept ready for updates
_NAME = f"{STATISTICS}pairs"


@dataclass(frozen=True)
class PairCounts:
    """``G = X'X``, X a matrix of users by items. Artifacts hold its upper triangle.

    Parameters
    ----------
    gram
        float32 ``[n_items, n_items]`` CSR with sorted indices, symmetric; the diagonal has the users of each item.
    """

    gram: sp.csr_matrix

    @classmethod
    def of(cls, gram: sp.csr_matrix) -> PairCounts:
        """Keep the whole ``G``."""
        gram.sort_indices()
        return cls(gram)

    @property
    def diagonal(self) -> FloatArray:
        """float32 ``[n_items]``."""
        return np.asarray(self.gram.diagonal(), np.float32)

    def changed(self, before: sp.csr_matrix, after: sp.csr_matrix) -> PairCounts:
        """``G + A'A - B'B`` for the rows of X that were B and are A, ``[n, n_items]``; G grows with them.

        With ``N = A - B`` that is ``G + (D + D') / 2`` where ``D = N'(A + B)``: the work is in proportion to
        what is new.
        """
        new = (after - before).tocsr()
        new.eliminate_zeros()
        d = (new.T @ (after + before)).tocsr()
        return self.plus((d + d.T) * np.float32(0.5))

    def plus(self, difference: sp.csr_matrix) -> PairCounts:
        """``G`` and a symmetric difference of it; pairs that are no more are dropped."""
        difference.sort_indices()  # of two sorted ones: a merge
        total = (grown(self.gram, difference.shape[0]) + difference.astype(np.float32, copy=False)).tocsr()
        if difference.data.min(initial=0.0) < 0:
            total.data[np.abs(total.data) < 1e-6] = 0.0
            total.eliminate_zeros()
        return PairCounts(total)

    def pack(self) -> Arrays:
        """Arrays for an artifact."""
        return pack_csr(_NAME, sp.triu(self.gram, 0, "csr"))

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> PairCounts:
        """Undo :meth:`pack`."""
        upper = unpack_csr(_NAME, arrays)
        upper.sort_indices()
        return cls((upper + sp.triu(upper, 1, "csr").T.tocsr()).tocsr())


def pack_pairs(counts: PairCounts | None) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and metadata for an artifact, of counts that may not have been kept."""
    return ({} if counts is None else counts.pack()), {"pairs": counts is not None}


def unpack_pairs(arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> PairCounts | None:
    """Undo :func:`pack_pairs`."""
    return PairCounts.unpack(arrays) if meta["pairs"] else None


def ready(counts: PairCounts | None, name: str) -> PairCounts:
    """The counts, or a typed error for a model that has too many pairs to keep them.

    Raises
    ------
    CapabilityError
        If there are none.
    """
    if counts is None:
        raise CapabilityError(
            f"this {name} has more than {MOST_PAIRS:,} pairs of items, and their counts were not kept.",
            "Fit it again on the whole log, or keep fewer items.",
        )
    return counts


def grown(matrix: sp.csr_matrix, n: int) -> sp.csr_matrix:
    """A square matrix with empty rows and columns behind its own, ``[n, n]``."""
    rows = n - matrix.shape[0]
    indptr = np.concatenate([matrix.indptr, np.full(rows, matrix.indptr[-1], matrix.indptr.dtype)])
    return sp.csr_matrix((matrix.data, matrix.indices, indptr), shape=(n, n))
