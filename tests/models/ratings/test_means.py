from __future__ import annotations

import numpy as np
import pytest
from tests.models.ratings.conftest import asked

from honeyguide.data.ratings import RatingQuestions
from honeyguide.metrics.predictive import rmse
from honeyguide.models.ratings.means import Means

TRAIN = asked([(0, 0, 5, []), (1, 0, 4, []), (0, 1, 3, [(0, 5)])])


def test_offsets_by_hand() -> None:
    model = Means(shrink_users=1, shrink_items=2).fit(TRAIN)  # mean 4; item 0: (1 + 0) / (2 + 2), item 1: -1 / (2 + 1)
    assert model.offsets == pytest.approx([0.25, -1 / 3])
    question = asked([(7, 1, 0, [(0, 5), (9, 2)])])  # 5 - 4 - .25 of an item known, 2 - 4 of one that is not
    assert model.predict(question) == pytest.approx([4 - 1 / 3 + (0.75 - 2) / (1 + 2)])


def test_the_answer_is_not_read_and_a_user_without_a_history_is_average() -> None:
    for truth in (1, 5):
        assert Means(items=False).fit(TRAIN).predict(asked([(0, 0, truth, [])])) == pytest.approx([4.0])
    assert Means(users=False, items=False).fit(TRAIN).predict(asked([(0, 0, 1, [(0, 1)])])) == pytest.approx([4.0])


def test_both_offsets_beat_either(train: RatingQuestions, new_users: RatingQuestions) -> None:
    def error(**which: bool) -> float:
        return rmse(new_users.truth, Means(**which).fit(train).predict(new_users))

    both = error()
    assert both < min(error(users=False), error(items=False)) + 0.02
    assert max(error(users=False), error(items=False)) < error(users=False, items=False) * 1.01


def test_rows_beyond_the_table_are_unknown() -> None:
    assert np.isfinite(Means().fit(TRAIN).predict(asked([(0, 50, 1, [(60, 2)])]))).all()
