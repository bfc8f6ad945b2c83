from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.data.attacks import inject
from honeyguide.data.build import build
from honeyguide.metrics.attack import attack_success, eligible_users
from honeyguide.models.popularity import Popularity


@pytest.fixture
def log() -> Dataset:
    """Item 3 is disliked by user 1 in train, and tested for user 2."""
    rows = [(0, 0, 1.0, "train"), (0, 1, 1.0, "train"), (1, 0, 1.0, "train"), (1, 3, 0.0, "train")]
    rows += [(2, 0, 1.0, "train"), (2, 3, 1.0, "test"), (3, 2, 1.0, "train"), (0, 2, 1.0, "valid")]
    rows += [(user, 4, 1.0, "train") for user in (1, 2, 3)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "split"], orient="row")
    return build("hand", frame.with_columns(positive=pl.col("label") > 0))


def test_who_met_a_target_in_any_part_and_who_is_fake_does_not_count(log: Dataset) -> None:
    data = inject(log, Ragged.from_lists([[3, 0], [3, 1]]), [3])
    expected = [[True], [False], [False], [True], [False], [False]]
    np.testing.assert_array_equal(eligible_users(data, np.array([3], np.int32)), expected)


def test_fakes_lift_a_target_into_the_lists_of_genuine_users(log: Dataset) -> None:
    targets = np.array([3], np.int32)
    before = attack_success(Popularity().fit(log), log, (1, 2), targets=targets)
    assert np.nanmean(before["target_hit_rate@1"]) == 0.0
    data = inject(log, Ragged.from_lists([[3], [3], [3], [3]]), [3])
    found = attack_success(Popularity().fit(data), data, (1, 2))
    np.testing.assert_array_equal(found["target_hit_rate@1"], [1, np.nan, np.nan, 1] + [np.nan] * 4)
    np.testing.assert_array_equal(found["target_ndcg@2"], found["target_hit_rate@1"])
    assert set(found) == {f"target_{name}@{k}" for name in ("hit_rate", "ndcg") for k in (1, 2)}
