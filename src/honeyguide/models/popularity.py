"""Most popular items first: the least a recommender must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Change, FitOptions, Recommender


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

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """Zeros: the history plays no part."""
        return np.zeros(len(history), np.float32)

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        return {"counts": self.counts}, {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.counts = arrays["counts"]
