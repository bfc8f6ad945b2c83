"""The immutable data set."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ragged import Ragged
from honeyguide.data.build import build

DAY = [datetime(2024, 1, d, tzinfo=UTC) for d in (1, 2, 3, 4)]


@pytest.fixture
def data() -> Dataset:
    frame = pl.DataFrame(
        {
            "user_id": ["u", "u", "u", "v"],
            "item_id": ["b", "a", "b", "c"],
            "timestamp": [DAY[1], DAY[0], DAY[2], DAY[3]],
            "positive": [True, True, True, False],
            "weight": pl.Series([2.0, 1.0, 3.0, 9.0], dtype=pl.Float32),
            "split": ["train", "train", "test", "train"],
        }
    )
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["A", None, "C"], "genre": ["x", "y", None]})
    return build("tiny", frame, items)


def test_parts_and_selection(data):
    assert data.parts == ("train", "test")
    assert data.select("test").interactions.height == 1
    assert data.select("valid").interactions.height == 0
    assert data.select("train").n_items == 3
    with pytest.raises(DataError, match="there is no part 'dev'"):
        data.select("dev")


def test_without_a_split_all_is_train(data):
    plain = build("p", pl.DataFrame({"user_id": [1], "item_id": [2]}))
    assert plain.parts == ("train",)
    assert plain.select("train") is plain
    assert plain.select("test").interactions.is_empty()


def test_histories_hold_positives_in_order(data):
    assert [row.tolist() for row in data.histories()] == [[0, 1, 1], []]
    assert [row.tolist() for row in data.histories("test")] == [[1], []]
    assert data.times("train").tolist() == [int(d.timestamp()) * 10**6 for d in DAY[:2]]


def test_matrices_and_popularity(data):
    assert data.matrix().toarray().tolist() == [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    assert data.matrix(weighted=True).toarray().tolist() == [[1.0, 5.0, 0.0], [0.0, 0.0, 0.0]]
    assert data.matrix().dtype == np.float32
    assert data.popularity().tolist() == [1.0, 2.0, 0.0]


def test_times_are_all_or_nothing():
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": [DAY[0], None], "position": [0, 1]})
    assert build("p", frame).times() is None


def test_text_of_items(data):
    assert data.text(["title", "genre"]) == ["A x", "y", "C"]
    with pytest.raises(DataError, match="no column 'plot'"):
        data.text(["plot"])


def test_equality_looks_at_everything_but_the_name(data):
    again = build("other", pl.DataFrame({"user_id": ["u"], "item_id": ["a"]}))
    assert data.equals(data.select("train", "valid", "test"))
    assert not data.equals(data.select("train"))
    assert not data.equals(again)


def test_it_introduces_itself(data):
    assert repr(data) == "Dataset('tiny', 4 interactions, 2 users, 3 items, parts=['train', 'test'])"


def test_histories_carry_the_times_of_their_items():
    days = [DAY[0], DAY[0].replace(hour=1), DAY[0].replace(hour=5)]
    split = ["train", "valid", "train"]
    frame = pl.DataFrame({"user_id": [1, 1, 2], "item_id": [3, 4, 4], "timestamp": days, "split": split})
    data = build("timed", frame)
    hours = [(time - data.times()[0]) // 3_600_000_000 for time in data.histories().times]
    assert hours == [0, 1, 5]
    assert (data.histories("train").times - data.times()[0]).tolist() == [0, 5 * 3_600_000_000]
    assert build("untimed", frame.drop("timestamp")).histories().times is None


def test_histories_are_replaced_event_by_event_and_nothing_else(data):
    histories = data.histories("train")
    assert histories.values.tolist() == [0, 1]
    found = data.with_histories(Ragged(histories.offsets, np.array([2, 2], np.int32)), "train")
    assert found.histories("train").values.tolist() == [2, 2]
    assert found.histories("test").values.tolist() == data.histories("test").values.tolist()
    same = [name for name in data.interactions.columns if name != "item"]
    assert found.interactions.select(same).equals(data.interactions.select(same))
    assert found.interactions["item"].to_list()[-1] == 2, "an event that is not positive stays (item c)"
    assert data.histories("train").values.tolist() == [0, 1], "the data set itself is not changed"
    with pytest.raises(DataError, match="not those of the data set"):
        data.with_histories(histories)
