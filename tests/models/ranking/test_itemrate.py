from __future__ import annotations

import numpy as np
import polars as pl
from numpy.testing import assert_allclose

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.data.build import build
from honeyguide.metrics.predictive import log_loss
from honeyguide.models.ranking.itemrate import ItemRate

FRAME = pl.DataFrame({"user_id": [0, 1, 2, 0], "item_id": [0, 0, 0, 1], "label": [1.0, 1.0, 0.0, 0.0]})


def test_the_smoothed_rate_by_hand() -> None:
    model = ItemRate(priors=(2.0,)).fit(build("rates", FRAME.with_columns(positive=pl.col("label") >= 1)))
    assert_allclose(model.score_histories(Ragged.empty(1))[0], [(2 + 2 * 0.5) / (3 + 2), (0 + 2 * 0.5) / (1 + 2)])


def test_without_labels_it_is_the_share_of_the_events() -> None:
    rates = ItemRate(priors=(2.0,)).fit(build("shares", FRAME)).score_histories(Ragged.empty(1))[0]
    assert_allclose(rates, [(3 + 1) / 6, (1 + 1) / 6], rtol=1e-6)
    assert_allclose(rates.sum(), 1, rtol=1e-6)


def test_the_prior_is_the_one_of_least_log_loss_on_valid(taste: Dataset) -> None:
    model = ItemRate().fit(taste)
    valid = taste.select("valid").interactions
    mine = log_loss(valid["positive"].to_numpy(), model.rates[valid["item"].to_numpy()])
    assert mine == min(entry["log_loss"] for entry in model.report.search)
    assert len({entry["log_loss"] for entry in model.report.search}) == len(model.config.priors)


def test_events_are_given_the_rate_of_their_item(taste: Dataset) -> None:
    model = ItemRate().fit(taste)
    assert_allclose(model.score_events(taste), model.rates[taste.select("test").interactions["item"].to_numpy()])
    assert np.unique(model.rates).size > 1
