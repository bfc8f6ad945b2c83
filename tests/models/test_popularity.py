"""Popularity counts train and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.testing import assert_array_equal

from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.build import build
from honeyguide.models.popularity import Popularity

EVENTS = pl.DataFrame(
    {
        "user_id": [1, 1, 2, 2, 3],
        "item_id": ["a", "b", "b", "c", "c"],
        "position": [0, 1, 0, 1, 0],
        "split": ["train", "train", "train", "valid", "test"],
    }
)


def test_the_score_is_the_number_of_train_events() -> None:
    model = Popularity().fit(build("five events", EVENTS))
    assert_array_equal(model.score_histories(Ragged.from_lists([[], [1]])), [[1, 2, 0], [1, 2, 0]])
    assert model.recommend(Requests(Ragged.from_lists([[1]])), k=2).items.tolist() == [[0, 2]]


def test_the_history_contributes_nothing() -> None:
    model = Popularity().fit(build("five events", EVENTS))
    assert_array_equal(model.contributions(np.array([0, 1], np.int32), 2), [0, 0])


def test_saved_and_loaded_it_scores_the_same(tmp_path: Path) -> None:
    model = Popularity().fit(build("five events", EVENTS))
    model.save(tmp_path)
    assert_array_equal(Popularity.load(tmp_path).counts, model.counts)
