"""What every recommender promises about learning: from what, how repeatably, and how well at least."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from tests.contract.titled import build

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError, DataError, MemoryLimitError, NotFittedError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.metrics.holdout import rank_catalogue
from honeyguide.models.registry import MODELS

Make = Callable[..., Recommender]


def test_the_same_seed_and_data_in_any_row_order_give_the_same_model(
    model: Recommender, make: Make, events: pl.DataFrame, asked: Requests
) -> None:
    again = make().fit(build("shuffled", events.sample(fraction=1.0, shuffle=True, seed=1)))
    assert_array_equal(again.score(asked), model.score(asked))


def test_the_test_part_is_never_read(model: Recommender, make: Make, events: pl.DataFrame, asked: Requests) -> None:
    books = events["item_id"].unique().sort()
    another = pl.col("item_id").replace(books, books.reverse())
    changed = events.with_columns(item_id=pl.when(split="test").then(another).otherwise("item_id"))
    other = build("other test", changed, items=books.to_frame())
    assert not changed.equals(events)
    assert_array_equal(make().fit(other).score(asked), model.score(asked))


def test_lists_are_better_than_chance(model: Recommender, asked: Requests, small: Dataset) -> None:
    truth = small.histories("test")
    tested = np.flatnonzero(truth.lengths)
    histories, truth = asked.histories.take(tested), truth.take(tested)
    lists = rank_catalogue(model.score_histories, histories, truth, k=10)
    recall = np.mean([np.isin(items, found).any() for items, found in zip(truth, lists, strict=True)])
    chance = np.mean(10 / (small.n_items - histories.lengths))
    assert recall >= 2 * chance, f"recall@10 {recall:.3f}, by chance {chance:.3f}"


def test_the_fit_reports_what_it_took(model: Recommender) -> None:
    assert model.report.cpu_seconds > 0
    assert model.report.wall_seconds > 0
    assert model.report.peak_rss_mb > 1
    assert model.report.n_parameters == model.n_parameters > 0


@pytest.mark.parametrize(
    "rows",
    [
        [("only", "one")],
        [("only", "a"), ("only", "b"), ("only", "c")],
        [("u", "one"), ("v", "one"), ("w", "one")],
        [("u", "a"), ("u", "a"), ("u", "a"), ("v", "b")],
    ],
    ids=["one event", "one user", "one item", "repeated events"],
)
def test_the_smallest_data_sets_fit(rows: list[tuple[str, str]], make: Make) -> None:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    data = build("tiny", frame.with_columns(position=pl.int_range(pl.len()).over("user_id")))
    try:
        model = make().fit(data)
    except DataError as error:  # a model of what follows what may refuse data in which nothing follows
        assert error.remedy
        assert (data.histories().lengths < 2).all()
        return
    scores = model.score(Requests(data.histories(), np.arange(data.n_users, dtype=np.int32)))
    assert scores.shape == (data.n_users, data.n_items)
    assert np.isfinite(scores).all()
    assert (model.recommend(Requests(Ragged.empty(1)), k=2).items[0, : data.n_items] >= 0).all()


def test_items_and_users_without_events_are_served(make: Make, events: pl.DataFrame) -> None:
    items = pl.DataFrame({"item_id": [*events["item_id"].unique().to_list(), 1_000_000]})
    users = pl.DataFrame({"user_id": ["nobody"]})
    data = build("cold", events.filter(pl.col("user_id").str.contains("reader-1")), items, users)
    model = make().fit(data)
    scores = model.score(Requests(data.histories("train")))
    assert scores.shape == (data.n_users, data.n_items)
    assert np.isfinite(scores).all()


def test_data_without_validation_part_or_split_fit(make: Make, events: pl.DataFrame) -> None:
    some = events.filter(pl.col("user_id").str.contains("reader-1"))
    for frame in (some.filter(pl.col("split") == "train"), some.drop("split")):
        data = build("no valid", frame)
        assert np.isfinite(make().fit(data).score(Requests(data.histories("train")))).all()


def test_a_second_fit_forgets_the_first(make: Make, events: pl.DataFrame, small: Dataset, asked: Requests) -> None:
    model = make().fit(build("first", events.filter(pl.col("user_id").str.contains("reader-1"))))
    model.fit(small)
    assert_array_equal(model.score(asked), make().fit(small).score(asked))


# -- refusals -----------------------------------------------------------------------------------


def test_an_unknown_option_is_refused_by_name(make: Make) -> None:
    with pytest.raises(ConfigError, match="'no_such_option'") as caught:
        make(no_such_option=1)
    assert "seed" in caught.value.remedy


def test_a_configuration_is_frozen_and_round_trips(make: Make) -> None:
    model = make(seed=3)
    with pytest.raises(ValueError, match="frozen"):
        model.config.seed = 4
    assert type(model)(type(model).Config.model_validate_json(model.config.model_dump_json())).config == model.config


def test_what_a_model_cannot_read_is_refused(model: Recommender) -> None:
    for asked in ("instruction", "query"):
        if asked not in model.capabilities:
            with pytest.raises(CapabilityError, match=f"'{asked}'"):
                model.recommend(Requests(Ragged.empty(1), **{asked: ["less crime"]}))
    if "similar" not in model.capabilities:
        with pytest.raises(CapabilityError, match="'similar'"):
            model.similar(np.array([0], np.int32))


def test_a_model_that_is_not_fitted_says_so(make: Make, tmp_path: object) -> None:
    model = make()
    for use in (
        lambda: model.score(Requests(Ragged.empty(1))),
        lambda: model.recommend(Requests(Ragged.empty(1))),
        lambda: model.save(str(tmp_path)),
    ):
        with pytest.raises(NotFittedError, match=model.name):
            use()


def test_a_fit_that_cannot_fit_in_memory_is_refused_with_the_estimate(make: Make, small: Dataset) -> None:
    model = make()
    estimate = model.estimate(small.select("train", "valid"))  # what a fit reads
    assert estimate.memory_bytes > 0
    assert estimate.cpu_seconds >= 0
    with pytest.raises(MemoryLimitError, match="of memory") as caught:
        model.fit(small, FitOptions(memory_limit=1))
    assert str(estimate) in caught.value.message
    assert model.item_ids is None


def test_an_empty_list_cannot_be_asked_for(model: Recommender) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        model.recommend(Requests(Ragged.empty(1)), k=0)


def test_the_registry_and_the_class_agree(make: Make) -> None:
    model = make()
    entry = MODELS[model.name]
    assert entry.cls == type(model).__name__
    assert "fold_in" in model.capabilities
    assert type(model).__doc__
