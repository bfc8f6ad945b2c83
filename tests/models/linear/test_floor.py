"""The linear floor: what it chooses, what it scores, and the bars on real data."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.data.load import load_data
from honeyguide.models.linear.floor import UNORDERED, Floor


@pytest.fixture(scope="module")
def model(books: Dataset) -> Floor:
    return Floor().fit(books)


@pytest.fixture(scope="module")
def unordered(books: Dataset) -> Floor:
    return Floor().fit(replace(books, ordered=False))


def test_beats_every_model_that_ignores_order(model: Floor, unordered: Floor, books: Dataset, ndcg) -> None:
    assert ndcg(model, books) >= 0.15
    assert ndcg(model, books) > 2 * ndcg(unordered, books)


def test_the_best_point_of_the_whole_grid_is_chosen(model: Floor) -> None:
    assert len(model.report.search) == 27
    best = max(model.report.search, key=lambda point: point["ndcg@10"])
    assert model.chosen == {key: best[key] for key in ("normalisation", "decay", "mix")}


def test_valid_chooses_and_is_not_learnt_from(model: Floor, books: Dataset) -> None:
    chosen = {"normalisations": (model.chosen["normalisation"],), "decays": (model.chosen["decay"],)}
    alone = Floor(**chosen, mixes=(model.chosen["mix"],)).fit(books.select("train"))
    assert alone.report.search == []
    histories = books.histories("train").take(slice(0, 20))
    assert_array_equal(alone.score_histories(histories), model.score_histories(histories))


def test_without_valid_the_first_of_each_is_used(books: Dataset) -> None:
    assert Floor().fit(books.select("train")).chosen == {"normalisation": "raw", "decay": 0.6, "mix": 1.0}


def test_contributions_sum_to_the_score(model: Floor, books: Dataset) -> None:
    history = np.append(books.histories("train")[7][:30], [-1, books.histories("train")[7][0]]).astype(np.int32)
    scores = model.score_histories(Ragged.from_lists([history]))[0]
    for item in (0, 17, int(scores.argmax())):
        assert_allclose(model.contributions(history, item).sum(), scores[item], rtol=1e-5, atol=1e-6)


def test_order_matters(model: Floor, books: Dataset) -> None:
    history = books.histories("train")[7]
    forward, backward = model.score_histories(Ragged.from_lists([history, history[::-1]]))
    assert not np.allclose(forward, backward)


def test_saved_and_loaded_it_scores_the_same(model: Floor, books: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = Floor.load(tmp_path)
    histories = books.histories("train").take(slice(0, 50))
    assert_array_equal(again.score_histories(histories), model.score_histories(histories))
    assert again.chosen == model.chosen
    assert again.report.search == model.report.search


def test_without_order_it_is_the_best_model_that_needs_none(unordered: Floor, books: Dataset, tmp_path: Path) -> None:
    assert [point["model"] for point in unordered.report.search] == list(UNORDERED)
    best = max(unordered.report.search, key=lambda point: point["ndcg@10"])["model"]
    assert unordered.chosen == {"model": best}
    unordered.save(tmp_path)
    again = Floor.load(tmp_path)
    histories = books.histories("train").take(slice(0, 20))
    expected = UNORDERED[best]().fit(books)
    for model in (unordered, again):
        assert_array_equal(model.score_histories(histories), expected.score_histories(histories))
        assert_array_equal(model.contributions(histories[3], 5), expected.contributions(histories[3], 5))
        assert_array_equal(model.similar(np.array([4], np.int32), 5).items, expected.similar(np.array([4]), 5).items)


def test_without_order_and_without_valid_it_is_the_first_of_them(books: Dataset) -> None:
    few = replace(books.select("train"), ordered=False)
    assert Floor().fit(few).chosen == {"model": next(iter(UNORDERED))}


@pytest.mark.full
@pytest.mark.parametrize(("name", "bar"), [("amazon-beauty", 0.051), ("amazon-toys", 0.064), ("amazon-sports", 0.031)])
def test_bars_on_real_data(name: str, bar: float, ndcg) -> None:
    if "HONEYGUIDE_DATA" not in os.environ:
        pytest.skip("HONEYGUIDE_DATA does not name a folder with the measuring data")
    data = load_data(name)
    assert ndcg(Floor().fit(data), data) >= bar
