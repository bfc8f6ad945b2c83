from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
from tests.models.ratings.conftest import QUALITIES

from honeyguide.data.ratings import RatingQuestions
from honeyguide.metrics.predictive import rmse
from honeyguide.models.ratings.history_mlp import HistoryMLP, HistoryOptions
from honeyguide.models.ratings.means import Means

OPTIONS = HistoryOptions(dim=16, blocks=1, epochs=12, batch=128, lr=5e-3)
FACTS = QUALITIES.astype(np.float32)


@pytest.fixture(scope="module")
def fitted(train: RatingQuestions) -> HistoryMLP:
    return HistoryMLP(FACTS, options=OPTIONS).fit(train)


def test_it_learns_what_the_rules_cannot(
    fitted: HistoryMLP, train: RatingQuestions, new_users: RatingQuestions
) -> None:
    assert rmse(new_users.truth, fitted.predict(new_users)) < 0.9 * rmse(
        new_users.truth, Means().fit(train).predict(new_users)
    )


def test_neither_the_answer_nor_the_user_is_read(fitted: HistoryMLP, new_users: RatingQuestions) -> None:
    others = replace(new_users, truth=new_users.truth * 0, users=new_users.users * 0)
    assert np.array_equal(fitted.predict(others), fitted.predict(new_users))


def test_padding_changes_nothing(fitted: HistoryMLP, new_users: RatingQuestions) -> None:
    mixed = new_users.take(np.arange(20))
    single = [fitted.predict(mixed.take(np.array([i])))[0] for i in range(20)]
    assert fitted.predict(mixed) == pytest.approx(single, abs=1e-5)


def test_without_ids_an_item_is_its_facts_alone(train: RatingQuestions, new_users: RatingQuestions) -> None:
    model = HistoryMLP(np.ones((30, 1), np.float32), ids=False, options=replace(OPTIONS, epochs=1)).fit(
        train.take(np.arange(200)), new_users
    )
    told = new_users.take(np.arange(5))
    assert model.predict(told) == pytest.approx(model.predict(replace(told, items=(told.items + 1) % 30)), abs=1e-6)
