"""Most popular items first: the least a recommender must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import Change, FitOptions
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Lists, Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.topk import NEVER


class Popularity(Recommender):
    """Score of item j = number of positive train interactions with j, whoever asks."""

    name = "popularity"
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "update", "exact_update"})

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        self.counts = data.popularity("train")  # [n_items]

    def _update(self, change: Change, options: FitOptions) -> None:
        counts = np.bincount(change.after.values, minlength=change.n_items)
        counts -= np.bincount(change.before.values, minlength=change.n_items)
        self.counts = counts.astype(np.float32) + np.pad(self.counts, (0, change.n_items - len(self.counts)))

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``: the same row for everybody."""
        return np.tile(self.counts, (len(histories), 1))

    def _rank(self, requests: Requests, k: int) -> Lists:
        """The first ``k`` of the one list of all items that are not excluded."""
        n, m, excluded = len(requests), len(self.counts), requests.excluded
        order = np.argsort(-self.counts, kind="stable")  # ties by the lower code
        place = np.empty(m, np.int64)
        place[order] = np.arange(m)
        width = min(m, k + int(excluded.lengths.max(initial=0)))  # so many, that k are left
        known = (excluded.values >= 0) & (excluded.values < m)
        rows, places = excluded.rows[known], place[excluded.values[known]]
        open_ = np.ones((n, width), bool)
        open_[rows[places < width], places[places < width]] = False
        rank = np.cumsum(open_, axis=1) - 1
        rows, places = np.nonzero(open_ & (rank < k))
        items, values = np.full((n, k), -1, np.int32), np.full((n, k), NEVER, np.float32)
        items[rows, rank[rows, places]] = order[places]
        values[rows, rank[rows, places]] = self.counts[order[places]]
        return items, values

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """Zeros: the history plays no part."""
        return np.zeros(len(history), np.float32)

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        return {"counts": self.counts}, {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.counts = arrays["counts"]
