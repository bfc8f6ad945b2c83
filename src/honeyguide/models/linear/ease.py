"""EASE: embarrassingly shallow autoencoders for sparse data (Steck, WWW 2019, arXiv:1905.03375)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import FitOptions, ModelConfig, Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Real, Space
from honeyguide.models.linear.cosine import products_per_item
from honeyguide.models.linear.item_weights import ItemWeights, distinct, shares


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
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar"})

    def estimate(self, data: Dataset) -> Estimate:
        """The dense matrix, twice while it is filled: 8 n_items^2 bytes, or the sparse Gram matrix beside it."""
        n = float(data.n_items)
        products = float(products_per_item(data.matrix("train")).sum())
        gram = 8.0 * min(products, n * n)
        return Estimate(4.0 * n * n + max(4.0 * n * n, gram) + 1e8, 3e-11 * n**3 + 5e-9 * products)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        x = data.matrix("train")  # [n_users, n_items]
        inverse = invert_in_place((x.T @ x).toarray(order="F"), self.config.regularization)
        inverse /= -np.diagonal(inverse).copy()  # column j by -P[j, j]
        np.fill_diagonal(inverse, 0.0)
        self.weights = ItemWeights(inverse)

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
        return self.weights.pack(), {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.weights = ItemWeights.unpack(arrays)


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
