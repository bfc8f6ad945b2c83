"""EASE: embarrassingly shallow autoencoders for sparse data (Steck, WWW 2019, arXiv:1905.03375)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field
from scipy.linalg.blas import sgemm

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.fitting import STATISTICS, Change, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Real, Space
from honeyguide.models.linear.cosine import products_per_item
from honeyguide.models.linear.item_weights import ItemWeights, distinct, shares
from honeyguide.models.linear.pair_counts import MOST_PAIRS, PairCounts, pack_pairs, ready, unpack_pairs

_ROUNDS = 4  # a user changed by Woodbury's identity costs so many n_items^2 of the n_items^3 of an inversion


class EASEConfig(ModelConfig):
    """Options of :class:`EASE`.

    Parameters
    ----------
    regularization
        ``lambda``, added to the diagonal of the Gram matrix.
    """

    regularization: float = Field(default=500.0, gt=0)


class EASE(Recommender):
    """Score of item j = sum of B[i, j] over the distinct items i of the history.

    ``B`` minimises ``|X - X B|^2 + lambda |B|^2`` with an empty diagonal (equation 4 of the paper), hence
    ``P = (X'X + lambda I)^-1`` and ``B[i, j] = -P[i, j] / P[j, j]``, ``B[j, j] = 0`` (equation 8).
    """

    name = "ease"
    Config = EASEConfig
    space: ClassVar[Space] = {"regularization": Real(5.0, 20_000.0, log=True)}
    config: EASEConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "update", "exact_update"})

    _gram: sp.csr_matrix | None = None  # X'X of the fit, until its pairs are asked for
    _pairs: PairCounts | None = None

    def estimate(self, data: Dataset) -> Estimate:
        """The dense matrix, twice while it is filled: 8 n_items^2 bytes, or once and 1.5 Gram matrices."""
        n = float(data.n_items)
        products = float(products_per_item(data.matrix("train")).sum())
        gram = 8.0 * min(products, n * n)
        return Estimate(4.0 * n * n + max(4.0 * n * n, gram) + gram / 2 + 1e8, 1.2e-11 * n**3 + 5e-9 * products)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        x = data.matrix("train")  # [n_users, n_items]
        gram = (x.T @ x).T  # symmetric: the transpose of CSC is CSR without a copy
        self._pairs, self._gram = None, gram if gram.nnz <= 2 * MOST_PAIRS else None
        self._solve(gram)

    def _counts(self) -> PairCounts | None:
        """The pairs, counted when an update or an artifact first wants them."""
        if self._gram is not None:
            self._pairs, self._gram = PairCounts.of(self._gram), None
        return self._pairs

    def _solve(self, gram: sp.csr_matrix) -> None:
        """B from ``X'X``."""
        inverse = invert_in_place(gram.T.toarray(order="F"), self.config.regularization)
        self.diagonal = np.diagonal(inverse).copy()  # P[j, j], [n_items]
        inverse /= -self.diagonal  # column j
        np.fill_diagonal(inverse, 0.0)
        self.weights = ItemWeights(inverse)

    def _update(self, change: Change, options: FitOptions) -> None:
        before, after = distinct(change.before, change.n_items), distinct(change.after, change.n_items)
        rows = np.flatnonzero(np.diff((after - before).tocsr().indptr))  # a repeated item changes no set
        before, after = before[rows], after[rows]
        self._pairs = ready(self._counts(), self.name).changed(before, after)
        if _ROUNDS * len(rows) >= change.n_items:
            self._solve(self._pairs.gram)
        else:
            self._move(before, after)

    def _move(self, before: sp.csr_matrix, after: sp.csr_matrix) -> None:
        """B for ``X'X + U C U'`` by Woodbury's identity, where ``U = [N', S']``, ``N = A - B``, ``S = A + B``.

        ``P <- P - Z (C^-1 + U'Z)^-1 Z'`` with ``Z = P U`` and ``C = [[0, I], [I, 0]] / 2``; P is never written
        down, but ``B = I - P diag(P)^-1`` is moved in its place. Items that nobody took yet have
        ``P[j, j] = 1 / lambda`` and nothing beside it.
        """
        old, known, n = self.weights.matrix, len(self.diagonal), before.shape[0]
        more = before.shape[1] - known
        ut = sp.vstack([after - before, after + before], format="csr")  # U', [2 n, n_items]
        d = np.append(self.diagonal, np.full(more, 1 / self.config.regularization, np.float32))
        z = ut.toarray()
        z[:, :known] -= ut[:, :known] @ old
        z *= d  # Z' = U'P, and P = (I - B) diag(P)
        inner = np.asarray(ut @ z.T, np.float64)
        inner[np.arange(n), n + np.arange(n)] += 2.0
        inner[n + np.arange(n), np.arange(n)] += 2.0
        left = np.linalg.solve((inner + inner.T) / 2, z).astype(np.float32)  # [2 n, n_items]
        moved = d - np.einsum("rj,rj->j", z, left)
        b = old if old.flags.writeable and not more else np.zeros((len(d), len(d)), np.float32)
        np.multiply(old, (d / moved)[:known], out=b[:known, :known])
        # B[i, j] = -P[i, j] / P[j, j], with what was taken from P: B += Z (left / moved), in its memory
        sgemm(1.0, (left / moved).T, z.T, beta=1.0, c=b.T, trans_b=1, overwrite_c=1)
        np.fill_diagonal(b, 0.0)
        self.weights, self.diagonal = ItemWeights(b), moved.astype(np.float32)

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: sums of rows of B."""
        return self.weights.score(distinct(histories, self.weights.n_items))

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """``B[i, item]`` for each event's item i; events of the same item share it."""
        return self.weights.terms(history, item) * shares(history)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items whose scores an event of the item raises most."""
        return Recommendations(*self.weights.similar(items, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        pairs, meta = pack_pairs(self._counts())
        return {**self.weights.pack(), f"{STATISTICS}diagonal": self.diagonal, **pairs}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.weights = ItemWeights.unpack(arrays)
        self._gram, self._pairs = None, unpack_pairs(arrays, meta)
        self.diagonal = arrays[f"{STATISTICS}diagonal"]


def invert_in_place(gram: FloatArray, regularization: float) -> FloatArray:
    """``(gram + regularization I)^-1`` by Cholesky, in the memory of ``gram``.

    Parameters
    ----------
    gram
        float32 ``[n, n]``, symmetric, in Fortran order.
    regularization
        Positive.

    Raises
    ------
    ConfigError
        If the matrix is not positive definite in float32.
    """
    from scipy.linalg.lapack import spotrf, spotri

    gram[np.diag_indices_from(gram)] += np.float32(regularization)
    factor, failed = spotrf(gram, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise ConfigError(f"ease: regularization={regularization} is too small for these data.", "Choose 10 or more.")
    inverse, _ = spotri(factor, lower=1, overwrite_c=1)
    step = 1024
    for start in range(0, len(inverse), step):  # the upper triangle from the lower, by blocks that fit the cache
        block = slice(start, start + step)
        inverse[block, start + step :] = inverse[start + step :, block].T
        corner = inverse[block, block]
        corner[:] = np.tril(corner) + np.tril(corner, -1).T
    return np.ascontiguousarray(inverse.T)  # symmetric: the transpose of Fortran order is C order
