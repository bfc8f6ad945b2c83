from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build
from honeyguide.metrics.predictive import auc
from honeyguide.models.ranking.examples import train_events
from honeyguide.models.ranking.logistic import Logistic


def truth(data: Dataset) -> np.ndarray:
    return data.select("test").interactions["positive"].to_numpy()


def test_the_weights_are_those_of_a_reference(taste: Dataset) -> None:
    model = Logistic(ridges=(3.0,), iterations=2000).fit(taste)
    events = train_events(taste, np.random.default_rng(0))
    design = model._design(taste, events, "train").toarray()[:, :-1]  # the reference has its own intercept
    reference = LogisticRegression(C=1 / 3, max_iter=5000, tol=1e-8).fit(design, events.labels)
    ours = design @ model.weights[:-1] + model.weights[-1]
    assert_allclose(ours, reference.decision_function(design), atol=5e-3)


def test_it_learns_what_is_a_matter_of_the_item(taste: Dataset) -> None:
    frame = taste.interactions.with_columns(positive=pl.col("item") % 4 == 0)
    data = replace(taste, interactions=frame)
    assert auc(truth(data), Logistic().fit(data).score_events(data)) > 0.99


def test_context_is_read_where_it_is_named(taste: Dataset) -> None:
    noise = pl.Series(np.random.default_rng(0).random(taste.interactions.height) < 0.1)
    data = replace(taste, interactions=taste.interactions.with_columns(positive=(pl.col("shelf") == "top") ^ noise))
    without, read = (Logistic(context=c).fit(data).score_events(data) for c in ((), ("shelf",)))
    assert auc(truth(data), read) > 0.85 > auc(truth(data), without)


def test_outcomes_of_the_scored_part_are_not_read(taste: Dataset) -> None:
    model = Logistic(context=("shelf",)).fit(taste)
    frame = taste.interactions
    flipped = frame.with_columns(positive=pl.col("positive") ^ (pl.col("split") == "test"), label=pl.lit(0.0))
    assert_array_equal(model.score_events(replace(taste, interactions=flipped)), model.score_events(taste))


def test_histories_and_events_agree_where_nobody_has_features(taste: Dataset) -> None:
    data = replace(taste, users=taste.users.select("user_id"))
    model = Logistic().fit(data)
    test = data.select("test").interactions
    scores = model.score_histories(data.histories("train", "valid"))
    assert_allclose(model.score_events(data), scores[test["user"].to_numpy(), test["item"].to_numpy()], rtol=1e-5)


def test_with_positives_alone_the_catalogue_adds_up_to_one_next_event(books: Dataset) -> None:
    scores = Logistic().fit(books).score_histories(books.histories("train"))
    assert scores.sum(1).mean() == pytest.approx(1, abs=0.3)


def test_a_single_item_has_nothing_to_be_told_from() -> None:
    data = build("one", pl.DataFrame({"user_id": [0, 1], "item_id": [5, 5]}))
    assert np.isfinite(Logistic().fit(data).score_histories(data.histories())).all()
