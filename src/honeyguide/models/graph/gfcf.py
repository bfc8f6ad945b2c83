"""GF-CF: graph-filter collaborative filtering (Shen et al., CIKM 2021), its linear filter as general as LinkProp's."""

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
_ITERATIONS, _CONVERGED = 100, 1e-4  # of power iteration: at most, and the relative change that ends it
_DENSE = 4_000  # items up to which singular vectors come from a dense matrix


class GFCFConfig(ModelConfig):
    """Options of :class:`GFCF`.

    Parameters
    ----------
    factors
        Singular vectors of the ideal low-pass filter.
    alpha
        Weight of the ideal low-pass filter beside the linear one; the largest eigenvalue of both is 1.
    candidate_exponent
        Power of an item's degree by which the linear filter divides what it gives the item as a candidate. The
        paper's .5 holds popular items back; 0 does not, which is better by far where data is sparse.
    history_exponent
        The same for an item in the history of the user who asks.
    user_exponent
        The same for the degree of the user who links the two.
    """

    factors: int = Field(default=256, ge=1)
    alpha: float = Field(default=0.3, ge=0)
    candidate_exponent: float = Field(default=0.5, ge=0)
    history_exponent: float = Field(default=0.5, ge=0)
    user_exponent: float = Field(default=1.0, ge=0)


class GFCF(Recommender):
    """Scores = ``r (A + alpha lambda D_i^-1/2 V V' D_i^1/2)`` for the row ``r`` of a user's items.

    ``A = D_i^-h R' D_u^-u R D_i^-c`` is the linear filter, ``lambda`` its largest eigenvalue, and V holds the leading
    right singular vectors of ``D_u^-1/2 R D_i^-1/2``. With the defaults, where lambda is 1, this is GF-CF (Y. Shen et
    al., CIKM 2021, arXiv:2108.07567, equation 11); the exponents are those of LinkProp (H.-M. Fu et al., WWW 2022,
    arXiv:2203.15789). The degree of the user who asks plays no part, so a user unseen in training is served by
    the same equation.
    """

    name = "gfcf"
    Config = GFCFConfig
    space: ClassVar[Space] = {
        "candidate_exponent": Real(0.0, 1.0),
        "history_exponent": Real(0.0, 1.0),
        "user_exponent": Real(0.0, 1.0),
        "alpha": Real(0.03, 3.0, log=True),
        "factors": Whole(16, 512, log=True),
    }
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
        normalised = _normalised(r, degrees, 1.0, 0.5)
        self.linear = ItemWeights.of(self._filter(r, degrees))
        vectors, self.values = right_singular_vectors(normalised, self.config.factors, self.config.seed)
        self._set_low_pass(vectors, degrees, self._largest_eigenvalue())

    def _filter(self, r: sp.csr_matrix, degrees: FloatArray) -> sp.csr_matrix:
        """What the users of the rows ``r`` add to A, ``[n_items, n_items]``."""
        config = self.config
        inward = _normalised(r, degrees, config.user_exponent, config.history_exponent)
        return (inward.T @ _normalised(r, degrees, config.user_exponent, config.candidate_exponent)).tocsr()

    def _update(self, change: Change, options: FitOptions) -> None:
        """The linear filter exactly; the vectors of the low-pass one to first order.

        ``A new = S^2h A S^2c + E`` with ``S = (D_i old / D_i new)^1/2`` and E from the changed users alone. With the
        paper's exponents a step of subspace iteration from V spans ``A new V Lambda^-1``; as ``A V = V Lambda``,
        that is ``S V + E V Lambda^-1 + S A (S - I) V Lambda^-1``, of which the last term, mostly in the span of V, is
        left out.
        """
        n, more = change.n_items, change.n_items - len(self.degrees)
        before, after = distinct(change.before, n), distinct(change.after, n)
        takers = np.square(self.degrees) * (self._diagonal() > 0)  # a degree of 1 also stands for nobody
        takers = np.pad(takers, (0, more)) + (after.sum(axis=0) - before.sum(axis=0)).A1
        degrees = np.sqrt(np.maximum(np.rint(takers), 1.0)).astype(np.float32)
        scale = np.append(self.degrees, np.ones(more, np.float32)) / degrees  # S
        difference = (self._filter(after, degrees) - self._filter(before, degrees)).tocsr()
        powers = [scale ** np.float32(2 * e) for e in (self.config.history_exponent, self.config.candidate_exponent)]
        self.linear = _changed(self.linear, powers[0], powers[1], difference)
        new, old = (_normalised(sets, degrees, 1.0, 0.5) for sets in (after, before))
        v = np.pad(self.vectors, ((0, more), (0, 0)))
        moved = new.T @ (new @ v) - old.T @ (old @ v)  # E V, [n_items, factors]
        shrunk = scale[:, None] * v
        values = np.maximum(self.values, _LEAST)
        growth = np.einsum("nk,nk->k", v, moved) + 2 * self.values * (np.einsum("nk,nk->k", v, shrunk) - 1)
        self.values = np.maximum(self.values + growth, 0.0).astype(np.float32)
        self._set_low_pass(_orthonormal(shrunk + moved / values), degrees, self._largest_eigenvalue())

    def _largest_eigenvalue(self) -> float:
        """Of the linear filter, by power iteration; 1 where it is similar to a matrix whose rows are shares."""
        config = self.config
        if config.user_exponent == 1 and config.history_exponent + config.candidate_exponent == 1:
            return 1.0
        vector, value = np.ones(self.linear.n_items, np.float32), 1.0
        for _ in range(_ITERATIONS):
            moved = self.linear.matrix @ vector
            before, value = value, float(np.linalg.norm(moved) / np.linalg.norm(vector))
            if not value or abs(value - before) <= _CONVERGED * value:
                break
            vector = moved / np.float32(value)
        return value or 1.0

    def _diagonal(self) -> FloatArray:
        matrix: Any = self.linear.matrix
        return np.asarray(matrix.diagonal(), np.float32)

    def _set_low_pass(self, vectors: FloatArray, degrees: FloatArray, largest: float) -> None:
        self.vectors, self.degrees, self.largest = vectors, degrees, largest
        # alpha lambda D_i^-1/2 V and D_i^1/2 V, [n_items, factors]
        self._inward = vectors / degrees[:, None] * np.float32(self.config.alpha * largest)
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
        return {**self.linear.pack(), **own}, {"largest": self.largest}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.linear, self.values = ItemWeights.unpack(arrays), arrays[f"{STATISTICS}values"]
        largest = float(meta.get("largest", 1.0))  # not in what older versions wrote, which had the paper's exponents
        self._set_low_pass(arrays["vectors"], arrays["degrees"], largest)


def _normalised(sets: sp.csr_matrix, degrees: FloatArray, user: float, item: float) -> sp.csr_matrix:
    """``D_u^(-user/2) R D_i^-item`` for rows of R; ``degrees`` are ``D_i^1/2``."""
    lengths = np.diff(sets.indptr)
    data = np.repeat(np.maximum(lengths, 1) ** (-user / 2), lengths) * degrees[sets.indices] ** (-2 * item)
    return sp.csr_matrix((data.astype(np.float32), sets.indices, sets.indptr), shape=sets.shape)


def _changed(weights: ItemWeights, rows: FloatArray, columns: FloatArray, difference: sp.csr_matrix) -> ItemWeights:
    """``diag(rows) A diag(columns) + E`` for vectors ``[n]``; A grows with them."""
    matrix: Any = weights.matrix
    known, n = matrix.shape[0], len(rows)
    if not sp.issparse(matrix):
        dense = np.zeros((n, n), np.float32)
        np.multiply(matrix, columns[:known], out=dense[:known, :known])
        dense *= rows[:, None]
        places = np.repeat(np.arange(n), np.diff(difference.indptr))
        dense[places, difference.indices] += difference.data
        return ItemWeights(dense)
    data = np.repeat(rows[:known], np.diff(matrix.indptr)) * columns[matrix.indices]
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
