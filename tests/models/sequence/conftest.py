"""Data in which only the order tells what comes next, for the tests of all sequence models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.recommender import Recommender
from honeyguide.data.build import build
from honeyguide.metrics.holdout import holdout_ndcg


def ring(seed: int) -> Dataset:
    """300 users who go round a ring of 30 items, one step at a time, from where they please."""
    starts = np.random.default_rng(seed).integers(0, 30, 300)
    users, steps = np.repeat(np.arange(300), 9), np.tile(np.arange(9), 300)
    split = np.where(steps == 8, "test", np.where(steps == 7, "valid", "train"))
    items = (starts[users] + steps) % 30
    return build("walks", pl.DataFrame({"user_id": users, "item_id": items, "position": steps, "split": split}))


@pytest.fixture(scope="session")
def walks() -> Callable[[int], Dataset]:
    """The walks of other users, by seed."""
    return ring


@pytest.fixture(scope="session")
def data() -> Dataset:
    return ring(0)


@pytest.fixture(scope="session")
def ndcg() -> Callable[[Recommender, Dataset], float]:
    """NDCG@10 on test."""

    def measure(model: Recommender, data: Dataset) -> float:
        histories, truth = data.histories("train", "valid"), data.histories("test")
        return float(holdout_ndcg(model.score_histories, histories, truth).mean())

    return measure
