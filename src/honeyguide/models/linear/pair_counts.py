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
from honeyguide.core.ragged import FloatArray
from honeyguide.core.recommender import STATISTICS

MOST_PAIRS = 1 << 26  # half a GiB; a model of more is not kept ready for updates
_NAME = f"{STATISTICS}pairs"


@dataclass(frozen=True)
class PairCounts:
    """The upper triangle of ``G = X'X``, X a matrix of users by items.

    Parameters
    ----------
    upper
        float32 ``[n_items, n_items]`` CSR, diagonal included: the number of users of an item.
    """

    upper: sp.csr_matrix

    @classmethod
    def of(cls, gram: sp.csr_matrix) -> PairCounts:
        """Keep the upper triangle of the whole ``G``."""
        return cls(upper_rows(gram, 0))

    @property
    def diagonal(self) -> FloatArray:
        """float32 ``[n_items]``."""
        return np.asarray(self.upper.diagonal(), np.float32)

    def whole(self) -> sp.csr_matrix:
        """``G`` itself, with sorted indices."""
        self.upper.sort_indices()
        gram = (self.upper.T.tocsr() + self.upper).tocsr()  # of two sorted ones: a merge
        rows = np.repeat(np.arange(gram.shape[0]), np.diff(gram.indptr))
        gram.data[gram.indices == rows] *= np.float32(0.5)
        return gram

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
        total = (grown(self.upper, difference.shape[0]) + sp.triu(difference, 0, "csr")).tocsr()
        if (difference.data < 0).any():
            total.data[np.abs(total.data) < 1e-6] = 0.0
            total.eliminate_zeros()
        return PairCounts(total.astype(np.float32))

    def scaled(self, scale: FloatArray) -> PairCounts:
        """``D G D`` for the diagonal matrix D of ``scale`` ``[n_items]``."""
        rows = np.repeat(np.arange(len(scale)), np.diff(self.upper.indptr))
        data = (self.upper.data * scale[rows] * scale[self.upper.indices]).astype(np.float32)
        return PairCounts(sp.csr_matrix((data, self.upper.indices, self.upper.indptr), shape=self.upper.shape))

    def pack(self) -> Arrays:
        """Arrays for an artifact."""
        return pack_csr(_NAME, self.upper)


def pack_pairs(counts: PairCounts | None) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and metadata for an artifact, of counts that may not have been kept."""
    return ({} if counts is None else counts.pack()), {"pairs": counts is not None}


def unpack_pairs(arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> PairCounts | None:
    """Undo :func:`pack_pairs`."""
    return PairCounts(unpack_csr(_NAME, arrays)) if meta["pairs"] else None


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


def upper_rows(block: sp.csr_matrix, start: int) -> sp.csr_matrix:
    """Of rows ``start, start + 1, ...`` of a square matrix, the entries on and above its diagonal."""
    rows = np.repeat(np.arange(start, start + block.shape[0]), np.diff(block.indptr))
    keep = block.indices >= rows
    counts = np.concatenate([[0], np.cumsum(keep)])
    parts = (block.data[keep], block.indices[keep], counts[block.indptr].astype(block.indptr.dtype))
    return sp.csr_matrix(parts, shape=block.shape)
