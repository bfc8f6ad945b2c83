from __future__ import annotations

import numpy as np
import pytest

from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import Ragged
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.slices import evaluate_slices, item_slices, keep_items, user_slices

HISTORIES = Ragged.from_lists([[0], [0, 1, 2], [0, 1, 2, 3], [0, 0, 0, 4]])
COUNTS = np.array([8, 1, 1, 1, 0], np.float32)  # item 0 is the head, item 4 was never seen
CATALOGUE = Catalogue(5, COUNTS, HISTORIES)


def test_users_and_items_are_sliced_by_training_alone():
    users, items = user_slices(CATALOGUE), item_slices(CATALOGUE)
    assert users["cold"].tolist() == [True, False, False, False]
    assert users["warm"].tolist() == [False, True, True, True]
    assert users["tail"].tolist() == [False, False, True, False]  # three of four items outside the head
    assert items["cold"].tolist() == [False, False, False, False, True]
    assert (items["warm"] == ~items["cold"]).all()
    assert (items["head"] | items["tail"] | items["cold"]).all()
    assert (items["head"].astype(int) + items["tail"] + items["cold"] == 1).all()


def test_slices_evaluate_what_their_name_says():
    lists, truth = np.array([[0, 1], [4, 3], [4, 0], [1, 2]]), Ragged.from_lists([[0, 1], [4], [4, 0], [3]])
    grades = np.arange(1.0, 7.0)
    found = evaluate_slices(lists, truth, ["recall@2", "ndcg@2", "epc@2"], CATALOGUE, grades=grades)
    assert found["users:cold"].per_user["recall@2"].tolist() == [1.0]
    assert found["users:warm"].overall["recall@2"] == pytest.approx(2 / 3)
    assert found["items:cold"].n_skipped == 2
    assert found["items:cold"].overall["recall@2"] == 1.0
    whole = evaluate_lists(lists, truth, ["ndcg@2", "epc@2"], CATALOGUE, grades=grades)
    for id in ("ndcg@2", "epc@2"):
        joined = np.concatenate([found["users:cold"].per_user[id], found["users:warm"].per_user[id]])
        np.testing.assert_allclose(joined, whole.per_user[id])


def test_keeping_items_keeps_their_grades():
    kept, grades = keep_items(Ragged.from_lists([[0, 4, -1], [4]]), item_slices(CATALOGUE)["cold"], np.arange(4.0))
    assert [row.tolist() for row in kept] == [[4], [4]]
    assert grades.tolist() == [1.0, 3.0]


def test_histories_are_needed_for_user_slices():
    with pytest.raises(ConfigError, match="histories"):
        user_slices(Catalogue(5, COUNTS))
