"""iALS: matrix factorisation of implicit feedback (Hu, Koren & Volinsky, ICDM 2008)."""

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
from honeyguide.core.recommender import FitOptions, ModelConfig, Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.topk import NEVER, top_k
from honeyguide.models.linear.item_weights import distinct, shares

_BLOCK = 1 << 18  # numbers gathered at once while folding in: 1 MiB, so that they stay in the cache


class IALSConfig(ModelConfig):
    """Options of :class:`IALS`.

    Parameters
    ----------
    factors
        Length of the vectors.
    alpha
        Confidence of an observed pair; an unobserved one has 1.
    regularization
        ``lambda``, the weight of the squared norms.
    iterations
        Passes over users and items.
    """

    factors: int = Field(default=128, ge=1)
    alpha: float = Field(default=20.0, ge=1)
    regularization: float = Field(default=5.0, gt=0)
    iterations: int = Field(default=15, ge=1)


class IALS(Recommender):
    """Score of item j = ``y_j' x``, where ``x`` is folded in from the history.

    Factors minimise ``sum_ui c_ui (p_ui - x_u' y_i)^2 + lambda (|X|^2 + |Y|^2)`` with ``c = alpha`` where u
    took i and 1 elsewhere. Only the item factors Y are kept; a user's vector is the exact minimum given Y,
    ``x = alpha A^-1 sum_i y_i`` with ``A = Y'Y + lambda I + (alpha - 1) sum_i y_i y_i'`` (equation 4 of the
    paper) over the distinct items i of the history.

    Folding in happens in coordinates where ``Y'Y + lambda I = C C'`` is the identity: with the rows of
    ``W = Y C'^-1``, ``A`` becomes ``I + (alpha - 1) sum_i w_i w_i'`` and scores keep their values.
    """

    name = "ials"
    Config = IALSConfig
    config: IALSConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "inner_product"})

    def estimate(self, data: Dataset) -> Estimate:
        """Both factor matrices and the interactions in both directions."""
        f, n = self.config.factors, data.interactions.height
        seconds = self.config.iterations * (2.5e-9 * n * f * 4 + 1e-9 * f * f * (data.n_users + data.n_items))
        return Estimate(4.0 * f * (data.n_users + data.n_items) + 48.0 * n + 5e7, seconds)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        engine = AlternatingLeastSquares(
            factors=self.config.factors,
            alpha=self.config.alpha,
            regularization=self.config.regularization,
            iterations=self.config.iterations,
            random_state=self.config.seed,
        )
        engine.fit(data.matrix("train"), show_progress=options.progress)
        self._serve(engine.item_factors)

    def _serve(self, item_factors: FloatArray) -> None:
        self.item_factors = item_factors  # Y, [n_items, factors]
        y = item_factors.astype(np.float64)
        base = y.T @ y + self.config.regularization * np.eye(y.shape[1])
        white = np.linalg.solve(np.linalg.cholesky(base), y.T).T.astype(np.float32)  # W, [n_items, factors]
        self.item_vectors = white
        self._padded = np.vstack([white, np.zeros((1, white.shape[1]), np.float32)])  # the last row pads histories

    def fold_in(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, factors]``: vectors whose inner products with ``item_vectors`` are the scores."""
        n_items, factors = self.item_vectors.shape
        sets = distinct(histories, n_items)
        lengths = np.diff(sets.indptr)
        vectors = np.zeros((len(histories), factors), np.float32)
        order = np.argsort(lengths, kind="stable")
        start = int(np.searchsorted(lengths[order], 1))  # an empty history is the zero vector
        while start < len(order):
            stop = _end_of_block(lengths[order], start, factors)
            users = order[start:stop]
            vectors[users] = self._solve(_pad(sets, users, fill=n_items))
            start = stop
        return vectors

    def _solve(self, items: IntArray) -> FloatArray:
        """float32 ``[n, factors]`` from item codes ``[n, length]`` padded with ``n_items``."""
        alpha, one = np.float32(self.config.alpha), np.float32(1)
        w = np.take(self._padded, items, axis=0)  # [n, length, factors]
        length, factors = w.shape[1:]
        if length < factors:  # push-through: (I + a W'W)^-1 W' 1 = W' (I + a W W')^-1 1, a system of size length
            gram = w @ w.transpose(0, 2, 1)  # [n, length, length]
            right = np.full((len(w), length, 1), alpha, np.float32)
        else:
            gram = w.transpose(0, 2, 1) @ w  # [n, factors, factors]
            right = alpha * w.sum(axis=1)[:, :, None]
        gram *= alpha - one
        gram[:, np.arange(gram.shape[1]), np.arange(gram.shape[1])] += one
        x = np.linalg.solve(gram, right)
        x = w.transpose(0, 2, 1) @ x if length < factors else x
        vectors: FloatArray = x[:, :, 0]
        return vectors

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: inner products with the folded-in vectors."""
        scores: FloatArray = self.fold_in(histories) @ self.item_vectors.T
        return scores

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """``alpha y_item' A^-1 y_i`` of every event i: the exact terms of the score (equation 7 of the paper)."""
        known = np.unique(history[history >= 0])
        w = self.item_vectors[known]  # [distinct, factors]
        a = np.eye(w.shape[1], dtype=np.float32) + np.float32(self.config.alpha - 1.0) * (w.T @ w)
        direction = np.linalg.solve(a, self.item_vectors[item]) * np.float32(self.config.alpha)
        terms: FloatArray = self._padded[history] @ direction * shares(history)  # -1 is the padding, a zero
        return terms

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items of largest cosine between factors."""
        norms = np.maximum(np.linalg.norm(self.item_factors, axis=1, keepdims=True), 1e-12)
        unit = self.item_factors / norms
        scores: FloatArray = unit[items] @ unit.T
        scores[np.arange(len(items)), items] = NEVER
        return Recommendations(*top_k(scores, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        return {"item_factors": self.item_factors}, {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self._serve(arrays["item_factors"])


def _end_of_block(lengths: npt.NDArray[np.integer], start: int, factors: int) -> int:
    """End of the block of rising ``lengths`` from ``start``: padding stays below an eighth, the cache suffices."""
    longest = int(lengths[start]) + int(lengths[start]) // 8
    stop = int(np.searchsorted(lengths, longest, side="right"))
    return min(stop, start + max(1, _BLOCK // (longest * factors)))


def _pad(sets: sp.csr_matrix, rows: npt.NDArray[np.integer], fill: int) -> IntArray:
    """int32 ``[len(rows), longest]``: the column codes of ``rows``, filled up with ``fill``."""
    block = sets[rows]
    lengths = np.diff(block.indptr)
    items = np.full((len(rows), lengths.max()), fill, np.int32)
    items[np.arange(items.shape[1]) < lengths[:, None]] = block.indices
    return items
