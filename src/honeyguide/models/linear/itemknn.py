"""Item-based nearest neighbours (Sarwar et al., WWW 2001; Deshpande & Karypis, TOIS 2004)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import FitOptions, ModelConfig, Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Real, Space, Whole
from honeyguide.models.linear.cosine import cosine_neighbours, products_per_item
from honeyguide.models.linear.item_weights import ItemWeights, distinct, shares


class ItemKNNConfig(ModelConfig):
    """Options of :class:`ItemKNN`.

    Parameters
    ----------
    neighbours
        Similar items kept for each item.
    shrinkage
        Added to the denominator of the cosine: similarities resting on few users count less.
    """

    neighbours: int = Field(default=200, ge=1)
    shrinkage: float = Field(default=10.0, ge=0)


class ItemKNN(Recommender):
    """Score of item j = sum of the cosines C[i, j] over the distinct items i of the history.

    ``C[i, j] = |users of i and j| / (sqrt(|users of i| |users of j|) + shrinkage)``, kept for the
    ``neighbours`` items j most similar to each i.
    """

    name = "itemknn"
    Config = ItemKNNConfig
    space: ClassVar[Space] = {"neighbours": Whole(10, 1000, log=True), "shrinkage": Real(0.1, 500.0, log=True)}
    config: ItemKNNConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar"})

    def estimate(self, data: Dataset) -> Estimate:
        """Two copies of the neighbour lists and one block of products."""
        products = products_per_item(data.matrix("train"))
        kept = np.minimum(products, self.config.neighbours).sum()
        return Estimate(16.0 * kept + 40.0 * data.interactions.height + 3e8, 5e-9 * float(products.sum()))

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        neighbours = cosine_neighbours(data.matrix("train"), self.config.neighbours, self.config.shrinkage)
        self.weights = ItemWeights.of(neighbours)  # [n_items, n_items]

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: sums of cosines."""
        return self.weights.score(distinct(histories, self.weights.n_items))

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """The cosine of each event's item with ``item``; events of the same item share it."""
        return self.weights.terms(history, item) * shares(history)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The nearest neighbours and their cosines."""
        return Recommendations(*self.weights.similar(items, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        return self.weights.pack(), {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.weights = ItemWeights.unpack(arrays)
