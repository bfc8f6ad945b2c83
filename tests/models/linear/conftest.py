"""Data that the tests of the linear models share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.recommender import Recommender
from honeyguide.data.load import load_data
from honeyguide.metrics.holdout import holdout_ndcg

Ndcg = Callable[[Recommender, Dataset], float]


@pytest.fixture(scope="session")
def books() -> Dataset:
    return load_data("goodbooks-mini")


@pytest.fixture(scope="session")
def ndcg() -> Ndcg:
    """NDCG@10 on test, seen items removed, ties pessimistic."""

    def measure(model: Recommender, data: Dataset) -> float:
        histories, truth = data.histories("train", "valid"), data.histories("test")
        return float(np.mean(holdout_ndcg(model.score_histories, histories, truth)))

    return measure
