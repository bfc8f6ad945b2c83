"""Statistics, checked by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from honeyguide.data.build import build
from honeyguide.data.describe import describe, gini


def test_a_small_data_set_by_hand():
    day = [datetime(2024, 1, d, tzinfo=UTC) for d in (1, 2, 3, 4)]
    frame = pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [1, 1, 2, 1], "timestamp": day})
    data = build(
        "d", frame.with_columns(split=pl.Series(["train", "train", "test", "train"])), pl.DataFrame({"item_id": [3]})
    )
    found = describe(data)
    assert (found.users, found.items, found.events, found.positives) == (2, 3, 4, 4)
    assert found.density == 3 / 6
    assert found.parts == {"train": 3, "test": 1}
    assert found.history_quantiles["50%"] == 2.0
    assert (found.first, found.last) == (day[0], day[3])
    assert found.cold_items == pytest.approx(2 / 3)
    assert json.loads(json.dumps(found.to_dict()))["first"] == "2024-01-01T00:00:00+00:00"
    assert "2024-01-01 to 2024-01-04" in str(found)
    assert found.returns == 1 / 4
    assert "returns: 25% of the events" in str(found) and "--seen" in str(found)


def test_what_labels_there_are_and_that_all_count_is_said():
    rows = [(1, 1, 1.0, True), (1, 2, 5.0, True), (2, 1, 4.5, True), (2, 2, 5.0, True)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "positive"], orient="row")
    said = str(describe(build("d", frame)))
    assert "labels: 1 25%, 4.5 25%, 5 50%; an event counts whatever its label: --positive" in said
    told = str(describe(build("d", frame.with_columns(positive=pl.col("label") > 4))))
    assert "labels: 1 25%, 4.5 25%, 5 50%\n" in told + "\n"
    assert "labels" not in str(describe(build("d", frame.drop("label"))))


def test_the_books(goodbooks):
    assert "returns" not in str(describe(goodbooks)), "nobody has a book twice"
    found = describe(goodbooks)
    assert found.density == pytest.approx(201_709 / (2_672 * 2_000), rel=1e-6)
    assert 0.3 < found.gini < 0.6
    assert found.cold_items == 0.0
    assert "no timestamps" in str(found)


def test_gini():
    assert gini(np.ones(10, np.float32)) == pytest.approx(0.0)
    one_has_all = np.zeros(10, np.float32)
    one_has_all[3] = 5
    assert gini(one_has_all) == pytest.approx(0.9)
    assert gini(np.zeros(4, np.float32)) == 0.0
