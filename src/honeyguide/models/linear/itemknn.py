"""Item-based nearest neighbours (Sarwar et al., WWW 2001; Deshpande & Karypis, TOIS 2004)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import Change, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Lists, Recommender
from honeyguide.core.requests import Recommendations, Requests
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Real, Space, Whole
from honeyguide.models.linear.cosine import counted_neighbours, neighbours_of, products_per_item
from honeyguide.models.linear.item_weights import ItemWeights, distinct, shares
from honeyguide.models.linear.pair_counts import MOST_PAIRS, PairCounts, pack_pairs, ready, unpack_pairs


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
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "update", "exact_update"})

    _counts: PairCounts | None = None

    def estimate(self, data: Dataset) -> Estimate:
        """Two copies of the neighbour lists, the counts and one block of products."""
        products = products_per_item(data.matrix("train"))
        kept = np.minimum(products, self.config.neighbours).sum()
        counts = np.minimum(products, data.n_items).sum() / 2
        counts = counts if counts <= MOST_PAIRS else 0.0
        return Estimate(
            16.0 * kept + 32.0 * counts + 40.0 * data.interactions.height + 3e8, 5e-9 * float(products.sum())
        )

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        c = self.config
        neighbours, self._counts = counted_neighbours(data.matrix("train"), c.neighbours, c.shrinkage)
        self.weights = ItemWeights.of(neighbours)  # [n_items, n_items]

    def _update(self, change: Change, options: FitOptions) -> None:
        n = change.n_items
        counts = ready(self._counts, self.name).changed(distinct(change.before, n), distinct(change.after, n))
        self.weights = ItemWeights.of(neighbours_of(counts, self.config.neighbours, self.config.shrinkage))
        self._counts = counts

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: sums of cosines."""
        return self.weights.score(distinct(histories, self.weights.n_items))

    def _rank(self, requests: Requests, k: int) -> Lists:
        return self.weights.rank(distinct(requests.histories, self.weights.n_items), requests.excluded, k)

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """The cosine of each event's item with ``item``; events of the same item share it."""
        return self.weights.terms(history, item) * shares(history)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The nearest neighbours and their cosines."""
        return Recommendations(*self.weights.similar(items, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        pairs, meta = pack_pairs(self._counts)
        return {**self.weights.pack(), **pairs}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.weights, self._counts = ItemWeights.unpack(arrays), unpack_pairs(arrays, meta)
