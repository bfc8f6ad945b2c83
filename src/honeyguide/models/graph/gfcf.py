"""GF-CF: graph-filter collaborative filtering (Shen et al., CIKM 2021, arXiv:2108.07567)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Change, FitOptions, ModelConfig, Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Real, Space, Whole
from honeyguide.core.topk import NEVER, top_k
from honeyguide.models.linear.cosine import products_per_item
from honeyguide.models.linear.item_weights import ItemWeights, distinct, shares
from honeyguide.models.linear.pair_counts import MOST_PAIRS, PairCounts, pack_pairs, ready, unpack_pairs

_DENSE = 4_000  # items up to which singular vectors come from a dense matrix


class GFCFConfig(ModelConfig):
    """Options of :class:`GFCF`.

    Parameters
    ----------
    factors
        Singular vectors of the ideal low-pass filter.
    alpha
        Weight of the ideal low-pass filter beside the linear one.
    """

    factors: int = Field(default=256, ge=1)
    alpha: float = Field(default=0.3, ge=0)


class GFCF(Recommender):
    """Scores = ``r (R~'R~ + alpha D_i^-1/2 V V' D_i^1/2)`` for the row ``r`` of a user's items.

    ``R~ = D_u^-1/2 R D_i^-1/2`` is the train matrix normalised by the degrees of users and items,
    and V its leading right singular vectors. The degree of the user who asks plays no part, so a user unseen
    in training is served by the same equation.
    """

    name = "gfcf"
    Config = GFCFConfig
    space: ClassVar[Space] = {"factors": Whole(16, 512, log=True), "alpha": Real(0.03, 3.0, log=True)}
    config: GFCFConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "update"})

    _counts: PairCounts | None = None

    def estimate(self, data: Dataset) -> Estimate:
        """The sparse item-to-item filter, the singular vectors and the work space of ARPACK."""
        products = float(products_per_item(data.matrix("train")).sum())
        filled = min(products, float(data.n_items) ** 2)
        k, smaller = self.config.factors, min(data.n_users, data.n_items)
        lanczos = 4.0 * smaller * (2 * k + 1)  # ARPACK's basis
        seconds = 5e-9 * products + 6e-9 * k * data.interactions.height + 4e-10 * k**2 * smaller
        return Estimate(16.0 * filled + 2 * lanczos + 4.0 * k * data.n_items + 1e8, seconds)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        r = data.matrix("train")
        degrees = np.sqrt(np.maximum(r.sum(axis=0).A1, 1.0)).astype(np.float32)  # [n_items], D_i^1/2
        user_degrees = np.sqrt(np.maximum(r.sum(axis=1).A1, 1.0))
        normalised = (sp.diags(1.0 / user_degrees) @ r @ sp.diags(1.0 / degrees)).astype(np.float32).tocsr()
        gram = (normalised.T @ normalised).tocsr()  # [n_items, n_items]
        # R' D_u^-1 R, which changed users change alone
        kept = PairCounts.of(gram) if gram.nnz <= 2 * MOST_PAIRS else None
        self._counts = kept.scaled(degrees) if kept is not None else None
        self.linear = ItemWeights.of(gram)
        self._set_low_pass(right_singular_vectors(normalised, self.config.factors, self.config.seed), degrees)

    def _update(self, change: Change, options: FitOptions) -> None:
        """The linear filter exactly; the low-pass one by a step of subspace iteration from the old vectors.

        ``V <- Ritz vectors of R~'R~ in the span of R~'R~ V``: what a fit iterates until it stands still.
        """
        n, more = change.n_items, change.n_items - len(self.degrees)
        before, after = distinct(change.before, n), distinct(change.after, n)
        difference = _per_user(after).T @ _per_user(after) - _per_user(before).T @ _per_user(before)
        counts = ready(self._counts, self.name)
        takers = np.square(self.degrees) * (counts.diagonal > 0)  # a degree of 1 also stands for nobody
        takers = np.pad(takers, (0, more)) + (after.sum(axis=0) - before.sum(axis=0)).A1
        degrees = np.sqrt(np.maximum(np.rint(takers), 1.0)).astype(np.float32)
        self._counts = counts.plus(difference.tocsr())
        self.linear = ItemWeights.of(self._counts.scaled(1.0 / degrees).whole())
        self._set_low_pass(_ritz(self.linear.matrix, np.pad(self.vectors, ((0, more), (0, 0)))), degrees)

    def _set_low_pass(self, vectors: FloatArray, degrees: FloatArray) -> None:
        self.vectors, self.degrees = vectors, degrees
        # alpha D_i^-1/2 V and D_i^1/2 V, [n_items, factors]
        self._inward = vectors / degrees[:, None] * np.float32(self.config.alpha)
        self._outward = vectors * degrees[:, None]

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``."""
        r = distinct(histories, self.linear.n_items)
        scores = self.linear.score(r)
        scores += (r @ self._inward) @ self._outward.T
        return scores

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """Entry ``[i, item]`` of the filter for each event's item i; events of the same item share it."""
        codes = np.maximum(history, 0)
        low = np.where(history >= 0, self._inward[codes] @ self._outward[item], np.float32(0))
        return np.asarray((self.linear.terms(history, item) + low) * shares(history), np.float32)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items whose scores an event of the item raises most."""
        scores = self.score_histories(Ragged.from_lists([[int(item)] for item in items]))
        scores[np.arange(len(items)), items] = NEVER
        return Recommendations(*top_k(scores, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        pairs, meta = pack_pairs(self._counts)
        return {**self.linear.pack(), "vectors": self.vectors, "degrees": self.degrees, **pairs}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.linear, self._counts = ItemWeights.unpack(arrays), unpack_pairs(arrays, meta)
        self._set_low_pass(arrays["vectors"], arrays["degrees"])


def _per_user(sets: sp.csr_matrix) -> sp.csr_matrix:
    """``D_u^-1/2 R`` for rows of R."""
    lengths = np.maximum(np.diff(sets.indptr), 1)
    return (sp.diags(lengths**-0.5) @ sets).astype(np.float32).tocsr()


def _ritz(matrix: sp.csr_matrix | FloatArray, vectors: FloatArray) -> FloatArray:
    """Ritz vectors of a symmetric ``[n, n]`` matrix A in the span of A V, by falling value: ``[n, k]``."""
    basis, _ = np.linalg.qr(matrix @ vectors)
    small = basis.T @ (matrix @ basis)
    _, turn = np.linalg.eigh((small + small.T) / 2)
    return np.ascontiguousarray((basis @ turn[:, ::-1]).astype(np.float32))


def right_singular_vectors(matrix: sp.csr_matrix, k: int, seed: int) -> FloatArray:
    """The ``k`` leading right singular vectors, by ARPACK from a seeded start where there are many items.

    Parameters
    ----------
    matrix
        float32 ``[n_rows, n_columns]``.
    k
        Number of vectors; fewer are returned where the matrix is smaller.
    seed
        Of the start.

    Returns
    -------
    ndarray
        float32 ``[n_columns, k]`` with orthonormal columns.
    """
    from scipy.linalg import eigh
    from scipy.sparse.linalg import svds

    smaller = min(matrix.shape)
    if k >= smaller or matrix.nnz == 0:  # ARPACK finds fewer than all, and needs something to multiply
        _, _, rows = np.linalg.svd(matrix.toarray(), full_matrices=False)
        return np.ascontiguousarray(rows[:k].T)
    if matrix.shape[1] <= _DENSE:  # R'R as a whole: ARPACK takes far longer for hundreds of vectors of a small one
        gram = (matrix.T @ matrix).toarray().astype(np.float64)
        last = matrix.shape[1] - 1
        _, found = eigh(gram, subset_by_index=[last - k + 1, last], overwrite_a=True)  # rising eigenvalues
        return np.ascontiguousarray(found[:, ::-1], np.float32)
    start = np.random.default_rng(seed).standard_normal(smaller).astype(np.float32)
    _, _, rows = svds(matrix, k=k, v0=start, return_singular_vectors="vh")  # rising singular values
    return np.ascontiguousarray(rows[::-1].T)
