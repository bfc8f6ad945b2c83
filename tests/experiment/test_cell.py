"""Beside the lists, a cell judges the probabilities of labelled test events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as reference

from honeyguide.core.dataset import Dataset
from honeyguide.experiment.cell import EVENTS, measure_events
from honeyguide.experiment.compare import Options, compare
from honeyguide.models.popularity import Popularity
from honeyguide.models.ranking.itemrate import ItemRate


@pytest.fixture(scope="module")
def rated(books: Dataset) -> Dataset:
    """Readers dislike two books in five, some books more than others."""
    frame = books.interactions
    dislike = (frame["item"].to_numpy() % 10) / 10 > np.random.default_rng(0).random(frame.height)
    return replace(books, interactions=frame.with_columns(positive=pl.Series(~dislike)))


def test_the_values_are_those_of_a_reference(rated: Dataset) -> None:
    model = ItemRate().fit(rated)
    found, test = measure_events(model, rated), rated.select("test").interactions
    truth, scores = test["positive"].to_numpy(), model.rates[test["item"].to_numpy()].astype(np.float64)
    assert list(found) == list(EVENTS)
    assert found["auc"] == pytest.approx(reference.roc_auc_score(truth, scores))
    assert found["log_loss"] == pytest.approx(reference.log_loss(truth, scores))
    assert found["auc"] > 0.6
    assert np.isnan(found["gauc"])  # one test event per reader says nothing of an order within readers


def test_only_probabilities_of_labelled_events_are_judged(rated: Dataset, books: Dataset) -> None:
    assert measure_events(Popularity().fit(rated), rated) == {}
    assert measure_events(ItemRate().fit(books), books) == {}


def test_a_comparison_carries_them_beside_the_ranking_metrics(rated: Dataset, tmp_path: Path) -> None:
    found = compare(rated, ["itemrate"], options=Options(runs=tmp_path / "runs"), html=tmp_path / "report.html")
    values = {row["model"]: row["metrics"] for row in found.rows}
    assert set(EVENTS) & set(values["floor"]) == set()
    assert values["itemrate"]["auc"] > 0.6
    assert values["itemrate"]["ndcg@10"] >= 0
    assert found.frame()["auc"].to_list()[:2] == [None, None]
    page = (tmp_path / "report.html").read_text()
    assert "AUC" in page
    assert "log-loss" in page
