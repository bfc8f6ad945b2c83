"""The linear floor: what any sequential model must beat to be called useful."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.artifact import pack_csr, unpack_csr
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import STATISTICS, Change, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Lists, Recommender
from honeyguide.core.requests import Recommendations, Requests
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Space, Whole
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.graph.gfcf import GFCF
from honeyguide.models.linear.cosine import counted_neighbours, neighbours_of, products_per_item
from honeyguide.models.linear.floor_search import SEARCHED, search_grid
from honeyguide.models.linear.ials import IALS
from honeyguide.models.linear.item_weights import ItemWeights, distinct
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.linear.pair_counts import MOST_PAIRS, PairCounts, grown, pack_pairs, ready, unpack_pairs
from honeyguide.models.linear.transitions import (
    Normalisation,
    normalise,
    recency,
    recent_events,
    transition_counts,
    transition_difference,
)

log = logging.getLogger(__name__)

UNORDERED: dict[str, type[Recommender]] = {model.name: model for model in (IALS, GFCF, ItemKNN)}


class FloorConfig(ModelConfig):
    """Options of :class:`Floor`: the grid that is searched on valid.

    Without a part valid the first value of each is used.

    Parameters
    ----------
    normalisations
        Of the transitions M: ``raw``, by ``row`` sum, or ``sym``: by the root of row times column sum.
    decays
        Weight of an event beside the next newer one.
    mixes
        Weight of the cosines C beside M.
    window
        Steps between two events up to which one counts as following the other.
    neighbours
        Cosines kept for each item; bounds the memory.
    """

    normalisations: tuple[Normalisation, ...] = Field(default=("raw", "row", "sym"), min_length=1)
    decays: tuple[float, ...] = Field(default=(0.6, 0.8, 0.9), min_length=1)
    mixes: tuple[float, ...] = Field(default=(1.0, 0.5, 0.0), min_length=1)
    window: int = Field(default=5, ge=1)
    neighbours: int = Field(default=2000, ge=1)


class Floor(Recommender):
    """Score of item j = sum over the events i of the history of ``decay^age (M[i, j] + mix C[i, j])``.

    M counts how often j followed i within ``window`` steps, each time 1 / distance; C is the cosine
    of the users of i and j. On data without order the floor is the best on valid of iALS, GF-CF and
    ItemKNN (without valid: iALS), and this class stands for the one chosen.
    """

    name = "floor"
    Config = FloorConfig
    space: ClassVar[Space] = {"window": Whole(1, 20, log=True), "neighbours": Whole(50, 5000, log=True)}
    config: FloorConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "update", "exact_update"})

    _counts: PairCounts | None = None
    chosen: dict[str, Any]
    delegate: Recommender | None = None

    def estimate(self, data: Dataset) -> Estimate:
        """Cosines and three normalisations of the transitions; or the largest of the models to choose from."""
        if not data.ordered:
            parts = [model().estimate(data) for model in UNORDERED.values()]
            return Estimate(max(e.memory_bytes for e in parts), sum(e.cpu_seconds for e in parts))
        n, events = data.n_items, data.interactions.height
        products = products_per_item(data.matrix("train"))
        cosines = float(np.minimum(products, min(n, self.config.neighbours)).sum())
        counts = float(np.minimum(products, n).sum()) / 2
        counts = counts if counts <= MOST_PAIRS else 0.0
        pairs = min(float(self.config.window * events), float(n) * n)
        searched = min(float(n) * data.n_users, float(SEARCHED)) * len(self._grid())
        seconds = 5e-9 * float(products.sum()) + 1e-5 * events + 1e-9 * searched
        return Estimate(
            32.0 * counts + 24.0 * cosines + 8.0 * (3 + len(self.config.normalisations)) * pairs + 4e8, seconds
        )

    def _grid(self) -> list[tuple[Normalisation, float, float]]:
        c = self.config
        return [(name, decay, mix) for name in c.normalisations for decay in c.decays for mix in c.mixes]

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        self.delegate = None
        if data.ordered:
            self._fit_ordered(data)
        else:
            self._fit_unordered(data, options)

    def _fit_ordered(self, data: Dataset) -> None:
        c = self.config
        histories = data.histories("train")
        cosines, self._counts = counted_neighbours(data.matrix("train"), c.neighbours)
        self._transitions = transition_counts(histories, data.n_items, c.window)
        transitions = {name: normalise(self._transitions, name) for name in c.normalisations}
        name, decay, mix = self._grid()[0]
        if "valid" not in data.parts:
            said = "the first options are taken; 'honeyguide fit' sets one aside, with_valid() does in Python"
            log.warning("%s has no part valid to choose on: %s.", data.name, said)
        if "valid" in data.parts and len(self._grid()) > 1:
            valid = data.histories("valid")
            self.report.search = search_grid(transitions, cosines, histories, valid, c.decays, c.mixes)
            best = max(self.report.search, key=lambda point: point["ndcg@10"])
            name, decay, mix = best["normalisation"], best["decay"], best["mix"]
        self.chosen = {"normalisation": name, "decay": decay, "mix": mix}
        self._weigh(transitions[name], cosines if mix else None)

    def _weigh(self, transitions: sp.csr_matrix, cosines: sp.csr_matrix | None) -> None:
        """``M + mix C``."""
        mix = np.float32(self.chosen["mix"])
        self.weights = ItemWeights.of(transitions if cosines is None else transitions + mix * cosines)

    def _update(self, change: Change, options: FitOptions) -> None:
        """The same sums counted on; the options stay those that the fit chose."""
        if self.delegate is not None:
            self.delegate._update(change, options)
            self.delegate.item_ids = change.items
            return
        n = change.n_items
        counts = ready(self._counts, self.name).changed(distinct(change.before, n), distinct(change.after, n))
        moved = transition_difference(change.before, change.after, n, self.config.window)
        self._transitions = (grown(self._transitions, n) + moved).tocsr()
        self._transitions.data[np.abs(self._transitions.data) < 0.5 / self.config.window] = 0.0  # rounding
        self._transitions.eliminate_zeros()
        self._counts = counts
        cosines = neighbours_of(counts, self.config.neighbours) if self.chosen["mix"] else None
        self._weigh(normalise(self._transitions, self.chosen["normalisation"]), cosines)

    @property
    def updates_exactly(self) -> bool:
        """Whether the sums are counted on, or the model that was chosen says so of itself."""
        return self.delegate is None or self.delegate.updates_exactly

    def _fit_unordered(self, data: Dataset, options: FitOptions) -> None:
        histories, valid = data.histories("train"), data.histories("valid")
        best = -1.0
        for name, model in UNORDERED.items():
            candidate = model().fit(data, options)
            value = (
                float(holdout_ndcg(candidate.score_histories, histories, valid).mean()) if len(valid.values) else 0.0
            )
            self.report.search.append({"model": name, "ndcg@10": value})
            if value > best:
                best, self.delegate, self.chosen = value, candidate, {"model": name}
            if not len(valid.values):
                break

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``."""
        if self.delegate is not None:
            return self.delegate.score_histories(histories, users)
        return self.weights.score(self._events(histories))

    def _events(self, histories: Ragged) -> sp.csr_matrix:
        return recent_events(histories, self.weights.n_items, self.chosen["decay"])

    def _rank(self, requests: Requests, k: int) -> Lists:
        if self.delegate is not None:
            return self.delegate._rank(requests, k)
        return self.weights.rank(self._events(requests.histories), requests.excluded, k)

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """``decay^age (M[i, item] + mix C[i, item])`` of every event."""
        if self.delegate is not None:
            return self.delegate.contributions(history, item)
        return self.weights.terms(history, item) * recency(Ragged.from_lists([history]), self.chosen["decay"])

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The items that an event of the item raises most."""
        if self.delegate is not None:
            return self.delegate.similar(items, k)
        return Recommendations(*self.weights.similar(items, k), self._fitted())

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        if self.delegate is None:
            kept = {**self.weights.pack(), **pack_csr(f"{STATISTICS}transitions", self._transitions)}
            pairs, meta = pack_pairs(self._counts)
            return kept | pairs, {"chosen": self.chosen, **meta}
        arrays, meta = self.delegate._state()
        return arrays, {"chosen": self.chosen, "config": self.delegate.config.model_dump(mode="json"), "state": meta}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.chosen = meta["chosen"]
        if "model" not in self.chosen:
            self.weights, self._counts = ItemWeights.unpack(arrays), unpack_pairs(arrays, meta)
            self._transitions = unpack_csr(f"{STATISTICS}transitions", arrays)
            return
        self.delegate = UNORDERED[self.chosen["model"]](**meta["config"])
        self.delegate.item_ids = self.item_ids
        self.delegate._restore(arrays, meta["state"])
