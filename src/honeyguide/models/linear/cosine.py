"""Item-to-item cosine similarity in bounded memory."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from honeyguide.core.ragged import FloatArray
from honeyguide.models.linear.pair_counts import MOST_PAIRS, PairCounts

_BLOCK = 1 << 23  # products of one block of rows: 64 MiB as CSR


def cosine_neighbours(matrix: sp.csr_matrix, k: int, shrinkage: float = 0.0) -> sp.csr_matrix:
    """Cosine of the columns of ``matrix``, only the ``k`` largest of each row.

    ``C[i, j] = <r_i, r_j> / (|r_i| |r_j| + shrinkage)`` with ``r_i`` column i; the diagonal is empty.

    Parameters
    ----------
    matrix
        float32 ``[n_users, n_items]``.
    k
        Neighbours kept for each item.
    shrinkage
        Pulls similarities that rest on few users towards zero.

    Returns
    -------
    csr_matrix
        float32 ``[n_items, n_items]`` with sorted indices.
    """
    return _neighbours(matrix, k, shrinkage, None)


def counted_neighbours(
    matrix: sp.csr_matrix, k: int, shrinkage: float = 0.0
) -> tuple[sp.csr_matrix, PairCounts | None]:
    """:func:`cosine_neighbours`, and the counts behind them, from which :func:`neighbours_of` goes on.

    There are none where there could be more than ``MOST_PAIRS``.
    """
    n_items = matrix.shape[1]
    if min(int(products_per_item(matrix).sum()), n_items**2) > 2 * MOST_PAIRS:
        return cosine_neighbours(matrix, k, shrinkage), None
    counts: list[sp.csr_matrix] = []
    neighbours = _neighbours(matrix, k, shrinkage, counts)
    whole = sp.vstack(counts, format="csr") if counts else sp.csr_matrix((0, 0), dtype=np.float32)
    return neighbours, PairCounts.of(whole)


def _neighbours(matrix: sp.csr_matrix, k: int, shrinkage: float, counts: list[sp.csr_matrix] | None) -> sp.csr_matrix:
    """:func:`cosine_neighbours`, block by block; what is counted on the way goes into ``counts``."""
    n_items = matrix.shape[1]
    transposed = matrix.T.tocsr()
    norms = np.sqrt(transposed.multiply(transposed).sum(axis=1).A1).astype(np.float32)
    work = np.cumsum(products_per_item(matrix))
    blocks = []
    start = 0
    while start < n_items:
        done = work[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(work, done + _BLOCK, side="right")))
        block = transposed[start:stop] @ matrix  # [stop - start, n_items]
        block.sort_indices()
        if counts is not None:
            counts.append(block)
        blocks.append(_largest_cosines(block, start, norms, k, shrinkage))
        start = stop
    return sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix((0, 0), dtype=np.float32)


def neighbours_of(counts: PairCounts, k: int, shrinkage: float = 0.0) -> sp.csr_matrix:
    """The cosines of :func:`cosine_neighbours` from the counts of :func:`counted_neighbours`, counted on or not."""
    return _largest_cosines(counts.gram, 0, None, k, shrinkage)


def _largest_cosines(
    block: sp.csr_matrix, start: int, norms: FloatArray | None, k: int, shrinkage: float
) -> sp.csr_matrix:
    """Rows ``start, start + 1, ...`` of ``G``, with sorted indices, as the ``k`` largest cosines of each.

    The ``norms`` of all items may be left to the diagonal of a whole ``G``.
    """
    lengths = np.diff(block.indptr)
    rows = np.repeat(np.arange(start, start + block.shape[0], dtype=block.indices.dtype), lengths)
    diagonal = np.flatnonzero(block.indices == rows)
    if norms is None:
        norms = np.zeros(block.shape[1], np.float32)
        norms[rows[diagonal]] = np.sqrt(block.data[diagonal])
    cosines = np.repeat(norms[start : start + block.shape[0]], lengths)
    cosines *= norms.take(block.indices)
    if shrinkage:
        cosines += np.float32(shrinkage)
    np.divide(block.data, cosines, out=cosines)
    cosines[diagonal] = 0.0
    return keep_largest(sp.csr_matrix((cosines, block.indices, block.indptr), shape=block.shape), k)


def keep_largest(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """The ``k`` largest positive entries of each row of a matrix with sorted indices; ties by the lower index."""
    data, indptr = matrix.data, matrix.indptr
    keep = data > 0
    for row in np.flatnonzero(np.diff(indptr) > k):
        inside = slice(indptr[row], indptr[row + 1])
        values = data[inside]
        kth = np.partition(values, len(values) - k)[len(values) - k]
        if kth > 0:
            above = values > kth
            tied = np.flatnonzero(values == kth)
            above[tied[: k - np.count_nonzero(above)]] = True
            keep[inside] = above
    kept = np.flatnonzero(keep)
    ends = np.searchsorted(kept, indptr).astype(indptr.dtype)
    return sp.csr_matrix((data[kept], matrix.indices[kept], ends), shape=matrix.shape)


def products_per_item(matrix: sp.csr_matrix) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """int64 ``[n_items]``: multiplications that row i of ``matrix.T @ matrix`` takes, a bound on its entries."""
    lengths = np.diff(matrix.indptr)
    return np.bincount(matrix.indices, np.repeat(lengths, lengths), matrix.shape[1]).astype(np.int64)
