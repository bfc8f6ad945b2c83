from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.build import build
from honeyguide.data.ratings import RatingQuestions


@pytest.fixture
def data() -> Dataset:
    """One user with two ratings in the same moment, another with one; the last of the first is test."""
    rows = [
        ("a", 0, 5.0, 10, "train"),
        ("a", 1, 3.0, 20, "train"),
        ("a", 2, 1.0, 20, "valid"),
        ("a", 3, 4.0, 30, "test"),
    ]
    events = pl.DataFrame(
        [*rows, ("b", 0, 2.0, 5, "train")], ["user_id", "item_id", "label", "timestamp", "split"], orient="row"
    )
    return build("ratings", events)


def test_the_history_is_what_was_rated_strictly_earlier_in_whatever_part(data: Dataset) -> None:
    train, valid, test = (RatingQuestions.of(data, part) for part in ("train", "valid", "test"))
    assert [list(h) for h in train.history] == [[], [0], []] and train.truth.tolist() == [5, 3, 2]
    assert [list(h) for h in valid.history] == [[0]], "what was rated in the same moment is not known yet"
    assert [list(h) for h in test.history] == [[0, 1, 2]] and test.given.tolist() == [5, 3, 1]
    assert test.items.tolist() == [3] and test.users.tolist() == [0]


def test_histories_are_cut_and_short_ones_left_out(data: Dataset) -> None:
    assert RatingQuestions.of(data, "train", least=1).items.tolist() == [1]
    cut = RatingQuestions.of(data, "test", longest=2)
    assert list(cut.history[0]) == [1, 2] and cut.given.tolist() == [3, 1]
    last = RatingQuestions.of(data, "test").last(1)
    assert list(last.history[0]) == [2] and last.given.tolist() == [1]


def test_questions_are_taken_with_their_ratings(data: Dataset) -> None:
    taken = RatingQuestions.of(data, "train").take(np.array([1, 0]))
    assert [list(h) for h in taken.history] == [[0], []] and taken.given.tolist() == [5] and len(taken) == 2


def test_ratings_and_an_order_are_needed(data: Dataset) -> None:
    bare = data.interactions.select("user", "item").rename({"user": "user_id", "item": "item_id"})
    with pytest.raises(DataError, match="not a rating for every event"):
        RatingQuestions.of(build("bare", bare), "train")
    with pytest.raises(DataError, match="no order"):
        RatingQuestions.of(build("rated", bare.with_columns(label=pl.lit(1.0))), "train")
