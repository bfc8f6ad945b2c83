from __future__ import annotations

import numpy as np
import pytest
from tests.models.ratings.conftest import asked

from honeyguide.data.ratings import RatingQuestions
from honeyguide.metrics.predictive import rmse
from honeyguide.models.ratings.biased_mf import BiasedMF
from honeyguide.models.ratings.means import Means


def test_a_new_user_is_folded_in_by_ridge_regression() -> None:
    model = BiasedMF(dim=1, penalty=0.5)
    model.mean, model.table = 3.0, np.array([[0.5, 2.0], [-0.5, 1.0]])
    found = model.predict(asked([(0, 1, 0, [(0, 5)])]))
    x = np.array([1.0, 2.0])  # rating 5 = 3 + .5 + b + 2 p, penalty .5 (b^2 + p^2)
    b, p = np.linalg.solve(np.outer(x, x) + 0.5 * np.eye(2), x * 1.5)
    assert found == pytest.approx([3 + b - 0.5 + p * 1.0])


def test_taste_is_learnt_and_serves_users_who_were_not_in_train(
    train: RatingQuestions, new_users: RatingQuestions
) -> None:
    fitted = BiasedMF(dim=2, penalty=0.02, sweeps=20).fit(train)
    error, rule = (rmse(new_users.truth, model.predict(new_users)) for model in (fitted, Means().fit(train)))
    assert error < 0.5 * rule


def test_an_item_that_train_had_not_gets_the_level_of_the_user(train: RatingQuestions) -> None:
    model = BiasedMF(dim=2).fit(train)
    high, low = (model.predict(asked([(0, 99, 0, [(i, r) for i in range(8)])]))[0] for r in (5.0, 1.0))
    assert high > low + 0.5
    assert model.predict(asked([(0, 99, 0, [(98, 1.0)])])) == pytest.approx([model.mean])


def test_the_same_seed_gives_the_same_table(train: RatingQuestions) -> None:
    a, b = (BiasedMF(dim=2, sweeps=2).fit(train).table for _ in range(2))
    assert np.array_equal(a, b)
