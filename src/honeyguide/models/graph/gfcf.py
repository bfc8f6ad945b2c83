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
from honeyguide.core.recommender import FitOptions, ModelConfig, Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.topk import NEVER, top_k
from honeyguide.models.linear.cosine import products_per_item
from honeyguide.models.linear.item_weights import ItemWeights, distinct, shares

_OVERSAMPLING = 64
_PASSES = 8  # of subspace iteration


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
    config: GFCFConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar"})

    def estimate(self, data: Dataset) -> Estimate:
        """The sparse item-to-item filter, the singular vectors and their work space."""
        products = float(products_per_item(data.matrix("train")).sum())
        filled = min(products, float(data.n_items) ** 2)
        vectors = 4.0 * (data.n_users + data.n_items) * (self.config.factors + _OVERSAMPLING)
        work = _PASSES * (self.config.factors + _OVERSAMPLING)
        seconds = 5e-9 * products + 2e-9 * work * data.interactions.height
        return Estimate(12.0 * filled + 4.0 * vectors + 1e8, seconds)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        r = data.matrix("train")
        self.degrees = np.sqrt(np.maximum(r.sum(axis=0).A1, 1e-12)).astype(np.float32)  # [n_items], D_i^1/2
        user_degrees = np.sqrt(np.maximum(r.sum(axis=1).A1, 1.0))
        normalised = (sp.diags(1.0 / user_degrees) @ r @ sp.diags(1.0 / self.degrees)).astype(np.float32).tocsr()
        self.linear = ItemWeights.of((normalised.T @ normalised).tocsr())  # [n_items, n_items]
        self.vectors = right_singular_vectors(normalised, self.config.factors, self.config.seed)  # V

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``."""
        r = distinct(histories, self.linear.n_items)
        scores = self.linear.score(r)
        low = (r @ (self.vectors / self.degrees[:, None])) * np.float32(self.config.alpha)  # [n, factors]
        scores += low @ (self.vectors * self.degrees[:, None]).T
        return scores

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """Entry ``[i, item]`` of the filter for each event's item i; events of the same item share it."""
        codes = np.maximum(history, 0)
        low = (self.vectors[codes] / self.degrees[codes, None]) @ (self.vectors[item] * self.degrees[item])
        low = np.where(history >= 0, low * np.float32(self.config.alpha), np.float32(0))
        return (self.linear.terms(history, item) + low) * shares(history)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items whose scores an event of the item raises most."""
        scores = self.score_histories(Ragged.from_lists([[int(item)] for item in items]))
        scores[np.arange(len(items)), items] = NEVER
        return Recommendations(*top_k(scores, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        return {**self.linear.pack(), "vectors": self.vectors, "degrees": self.degrees}, {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.linear = ItemWeights.unpack(arrays)
        self.vectors, self.degrees = arrays["vectors"], arrays["degrees"]


def right_singular_vectors(matrix: sp.csr_matrix, k: int, seed: int) -> FloatArray:
    """The ``k`` leading right singular vectors by randomised subspace iteration (Halko et al., 2011).

    Parameters
    ----------
    matrix
        float32 ``[n_rows, n_columns]``.
    k
        Number of vectors; fewer are returned where the matrix is smaller.
    seed
        Of the random start.

    Returns
    -------
    ndarray
        float32 ``[n_columns, k]`` with orthonormal columns.
    """
    size = min(k + _OVERSAMPLING, *matrix.shape)
    start = np.random.default_rng(seed).standard_normal((matrix.shape[1], size), dtype=np.float32)
    transposed = matrix.T.tocsr()
    basis, _ = np.linalg.qr(start)  # [n_columns, size]
    for _ in range(_PASSES):
        basis, _ = np.linalg.qr(transposed @ (matrix @ basis))
    image = matrix @ basis  # [n_rows, size]
    _, rotation = np.linalg.eigh(image.T @ image)  # rising eigenvalues
    vectors: FloatArray = basis @ rotation[:, ::-1][:, : min(k, size)]
    return vectors
