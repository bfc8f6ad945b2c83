"""The item-to-item matrix behind every model whose score is a sum over the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.artifact import Arrays, pack_csr, unpack_csr
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.topk import NEVER, exclude_in_place, top_k, top_k_sparse

_DENSE_FROM = 0.1  # share of non-zeros from which multiplying by a dense matrix is faster
_DENSE_UP_TO = 1 << 28  # entries: 1 GiB of float32
_PRODUCTS = 1 << 21  # of one block of users while ranking: 16 MiB as CSR


@dataclass(frozen=True)
class ItemWeights:
    """``W``: what one event of item i adds to the score of item j.

    Parameters
    ----------
    matrix
        float32 ``[n_items, n_items]``, CSR or dense, row i and column j.
    """

    matrix: sp.csr_matrix | FloatArray

    @classmethod
    def of(cls, matrix: sp.csr_matrix) -> ItemWeights:
        """Keep a sparse matrix sparse, unless it is so full that dense algebra is faster."""
        entries = matrix.shape[0] * matrix.shape[1]
        full = matrix.nnz > _DENSE_FROM * entries and entries <= _DENSE_UP_TO
        return cls(matrix.toarray() if full else matrix)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.matrix.shape[0])

    def score(self, events: sp.csr_matrix) -> FloatArray:
        """float32 ``[n, n_items]``: ``events @ W``, with ``events`` float32 ``[n, n_items]``."""
        product = events @ self.matrix
        scores: FloatArray = product.toarray() if sp.issparse(product) else product
        return scores

    def rank(self, events: sp.csr_matrix, excluded: Ragged, k: int) -> tuple[IntArray, FloatArray]:
        """Top-k of ``events @ W`` without the ``excluded`` items; equal to ranking :meth:`score`.

        Where W is sparse and not negative, only items that some event reaches are looked at; rows
        with fewer than ``k`` of them are filled up from their dense scores.
        """
        if not self._sparse_and_positive:
            return self._rank_dense(events, excluded, k)
        matrix: Any = self.matrix
        items, values = np.empty((events.shape[0], k), np.int32), np.empty((events.shape[0], k), np.float32)
        entries = np.concatenate([[0], np.cumsum(np.diff(matrix.indptr)[events.indices])])
        work = entries[events.indptr[1:]]  # products up to and with each row
        start = 0
        while start < len(work):
            done = work[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(work, done + _PRODUCTS, side="right")))
            rows = slice(start, stop)
            hidden = excluded.take(rows)
            items[rows], values[rows], complete = top_k_sparse(events[rows] @ matrix, k, hidden)
            short = start + np.flatnonzero(~complete)
            items[short], values[short] = self._rank_dense(events[short], excluded.take(short), k)
            start = stop
        return items, values

    @cached_property
    def _sparse_and_positive(self) -> bool:
        matrix: Any = self.matrix
        return bool(sp.issparse(matrix) and matrix.data.min(initial=0.0) >= 0)

    def _rank_dense(self, events: sp.csr_matrix, excluded: Ragged, k: int) -> tuple[IntArray, FloatArray]:
        scores = self.score(events)
        exclude_in_place(scores, excluded)
        return top_k(scores, k)

    def terms(self, history: IntArray, item: int) -> FloatArray:
        """float32 ``[len(history)]``: ``W[i, item]`` for each event i, 0 for unknown items (-1)."""
        column: Any = self.matrix[np.maximum(history, 0), item]
        values = column.toarray().ravel() if sp.issparse(column) else column
        return np.where(history >= 0, values, np.float32(0)).astype(np.float32)

    def similar(self, items: IntArray, k: int) -> tuple[IntArray, FloatArray]:
        """The ``k`` largest entries of the rows of ``items``, without the items themselves."""
        rows: Any = self.matrix[items]
        scores: FloatArray = rows.toarray() if sp.issparse(rows) else rows.copy()
        scores[np.arange(len(items)), items] = NEVER
        return top_k(scores, k)

    def pack(self) -> Arrays:
        """Arrays for an artifact."""
        return pack_csr("weights", self.matrix) if sp.issparse(self.matrix) else {"weights": self.matrix}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> ItemWeights:
        """Undo :meth:`pack`."""
        return cls(arrays["weights"] if "weights" in arrays else unpack_csr("weights", arrays))


def distinct(histories: Ragged, n_items: int) -> sp.csr_matrix:
    """float32 ``[n, n_items]``: 1 for every item of a history, however often it occurs."""
    matrix = histories.to_csr(n_items)
    matrix.data[:] = 1.0
    return matrix


def shares(history: IntArray) -> FloatArray:
    """float32 ``[len(history)]``: one over the number of times each item occurs in ``history``.

    What :func:`distinct` counts once, its events share.
    """
    _, inverse, counts = np.unique(history, return_inverse=True, return_counts=True)
    return (1.0 / counts[inverse]).astype(np.float32)
