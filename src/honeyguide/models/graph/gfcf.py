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
from honeyguide.core.fitting import STATISTICS, Change, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Real, Space, Whole
from honeyguide.core.topk import NEVER, top_k
from honeyguide.models.linear.cosine import products_per_item
from honeyguide.models.linear.item_weights import ItemWeights, distinct, shares
from honeyguide.models.linear.pair_counts import grown

_LEAST = 0.01  # of the singular values squared, whose largest is 1, by which the update divides
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
        self.linear = ItemWeights.of((normalised.T @ normalised).tocsr())  # A, [n_items, n_items]
        vectors, self.values = right_singular_vectors(normalised, self.config.factors, self.config.seed)
        self._set_low_pass(vectors, degrees)

    def _update(self, change: Change, options: FitOptions) -> None:
        """The linear filter exactly; the vectors of the low-pass one to first order.

        ``A new = S A S + E`` with ``S = (D_i old / D_i new)^1/2`` and E from the changed users alone. A step
        of subspace iteration from V spans ``A new V Lambda^-1``; as ``A V = V Lambda``, that is
        ``S V + E V Lambda^-1 + S A (S - I) V Lambda^-1``, of which the last term, mostly in the span of V, is left out.
        """
        n, more = change.n_items, change.n_items - len(self.degrees)
        before, after = distinct(change.before, n), distinct(change.after, n)
        takers = np.square(self.degrees) * (self._diagonal() > 0)  # a degree of 1 also stands for nobody
        takers = np.pad(takers, (0, more)) + (after.sum(axis=0) - before.sum(axis=0)).A1
        degrees = np.sqrt(np.maximum(np.rint(takers), 1.0)).astype(np.float32)
        scale = np.append(self.degrees, np.ones(more, np.float32)) / degrees  # S
        new, old = (_per_user(sets, degrees) for sets in (after, before))
        self.linear = _changed(self.linear, scale, (new.T @ new - old.T @ old).tocsr())
        v = np.pad(self.vectors, ((0, more), (0, 0)))
        moved = new.T @ (new @ v) - old.T @ (old @ v)  # E V, [n_items, factors]
        shrunk = scale[:, None] * v
        values = np.maximum(self.values, _LEAST)
        growth = np.einsum("nk,nk->k", v, moved) + 2 * self.values * (np.einsum("nk,nk->k", v, shrunk) - 1)
        self.values = np.maximum(self.values + growth, 0.0).astype(np.float32)
        self._set_low_pass(_orthonormal(shrunk + moved / values), degrees)

    def _diagonal(self) -> FloatArray:
        matrix: Any = self.linear.matrix
        return np.asarray(matrix.diagonal(), np.float32)

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
        own = {"vectors": self.vectors, f"{STATISTICS}values": self.values, "degrees": self.degrees}
        return {**self.linear.pack(), **own}, {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.linear, self.values = ItemWeights.unpack(arrays), arrays[f"{STATISTICS}values"]
        self._set_low_pass(arrays["vectors"], arrays["degrees"])


def _per_user(sets: sp.csr_matrix, degrees: FloatArray) -> sp.csr_matrix:
    """``D_u^-1/2 R D_i^-1/2`` for rows of R."""
    lengths = np.diff(sets.indptr)
    data = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths) / degrees[sets.indices]
    return sp.csr_matrix((data.astype(np.float32), sets.indices, sets.indptr), shape=sets.shape)


def _changed(weights: ItemWeights, scale: FloatArray, difference: sp.csr_matrix) -> ItemWeights:
    """``S A S + E`` for the diagonal matrix S of ``scale`` ``[n]``; A grows with them."""
    matrix: Any = weights.matrix
    known, n = matrix.shape[0], len(scale)
    if not sp.issparse(matrix):
        dense = np.zeros((n, n), np.float32)
        np.multiply(matrix, scale[:known], out=dense[:known, :known])
        dense *= scale[:, None]
        rows = np.repeat(np.arange(n), np.diff(difference.indptr))
        dense[rows, difference.indices] += difference.data
        return ItemWeights(dense)
    data = np.repeat(scale[:known], np.diff(matrix.indptr)) * scale[matrix.indices]
    data *= matrix.data
    scaled = grown(sp.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape), n)
    return ItemWeights((scaled + difference).tocsr())


def _orthonormal(matrix: FloatArray) -> FloatArray:
    """Orthonormal columns with the span of those of ``matrix`` ``[n, k]``, nearly so already: by Cholesky."""
    gram = (matrix.T @ matrix).astype(np.float64)
    factor = np.linalg.cholesky(gram + 1e-9 * np.eye(len(gram)))
    return np.asarray(matrix @ np.linalg.inv(factor).T.astype(np.float32), np.float32)


def right_singular_vectors(matrix: sp.csr_matrix, k: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """The ``k`` leading right singular vectors and squared values; by ARPACK, from a seeded start, for many items.

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
    vectors, squares
        float32 ``[n_columns, k]`` with orthonormal columns, and ``[k]``, falling.
    """
    from scipy.linalg import eigh
    from scipy.sparse.linalg import svds

    smaller = min(matrix.shape)
    if k >= smaller or matrix.nnz == 0:  # ARPACK finds fewer than all, and needs something to multiply
        _, values, rows = np.linalg.svd(matrix.toarray(), full_matrices=False)
        return np.ascontiguousarray(rows[:k].T), np.square(values[:k])
    if matrix.shape[1] <= _DENSE:  # R'R as a whole: ARPACK takes far longer for hundreds of vectors of a small one
        gram = (matrix.T @ matrix).toarray().astype(np.float64)
        last = matrix.shape[1] - 1
        squares, found = eigh(gram, subset_by_index=[last - k + 1, last], overwrite_a=True)  # rising eigenvalues
        return np.ascontiguousarray(found[:, ::-1], np.float32), np.ascontiguousarray(squares[::-1], np.float32)
    start = np.random.default_rng(seed).standard_normal(smaller).astype(np.float32)
    _, values, rows = svds(matrix, k=k, v0=start, return_singular_vectors="vh")  # rising singular values
    return np.ascontiguousarray(rows[::-1].T), np.square(values[::-1])
