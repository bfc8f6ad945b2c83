from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.models.ranking.examples import train_events
from honeyguide.models.ranking.features import CLIP, Features, FeatureSpec, Side, item_trends


def fit(data: Dataset, context: tuple[str, ...] = ()) -> Features:
    events = train_events(data, np.random.default_rng(0))
    return Features.fit(data.select("train", "valid"), events.before, context)


def test_columns_become_fields_and_numbers_and_names_are_left_out(taste: Dataset) -> None:
    items = fit(taste).spec.items
    assert [(field.name, field.many) for field in items.fields] == [("genre", False), ("tags", True)]
    assert [number.name for number in items.numbers] == ["price"]
    assert set(items.fields[0].values) == {"genre-0", "genre-1", "genre-2", "genre-3"}
    assert [field.name for field in fit(taste).spec.users.fields] == ["town"]


def test_codes_weights_and_unknown_values_by_hand() -> None:
    side = Side.learn(
        pl.DataFrame({"colour": ["red", "red", "blue", "blue"], "tags": [["a", "b"], ["a"], ["b"], ["a", "b"]]})
    )
    assert side.fields[0].values == ("blue", "red")  # as frequent as each other: by name
    assert side.size == 3 + 3
    found = side.encode(pl.DataFrame({"colour": ["red", "green", None], "tags": [["b", "a", "zzz"], [], None]}))
    assert_array_equal(found.codes, [[2, 4, 5], [0, 3, 3], [0, 3, 3]])
    assert_allclose(found.weights, [[1, 0.5, 0.5], [1, 1, 0], [1, 1, 0]])
    assert_allclose(found.to_csr(side.size).toarray()[0], [0, 0, 1, 0, 0.5, 0.5])
    nothing, hidden = side.nothing(1), found.hide(np.array([True, False, False]))
    assert_allclose(hidden.to_csr(side.size).toarray()[0], nothing.to_csr(side.size).toarray()[0])
    assert_array_equal(hidden.codes[1:], found.codes[1:])


def test_numbers_are_standardised_clipped_and_missing_ones_are_the_mean() -> None:
    side = Side.learn(pl.DataFrame({"price": [1.0, 2.0, 3.0, None], "same": [7.0, 7.0, 7.0, 7.0]}))
    assert [number.name for number in side.numbers] == ["price"]
    found = side.encode(pl.DataFrame({"price": [2.0, 3.0, None, 1e9]})).numbers[:, 0]
    assert_allclose(found, [0, 1 / np.std([1, 2, 3]), 0, CLIP], rtol=1e-6)


def test_only_train_is_read(taste: Dataset) -> None:
    """Whatever valid and test say, of labels, items and context, nothing that is derived changes."""
    late = pl.col("split") != "train"
    frame = taste.interactions.with_columns(
        positive=pl.when(late).then(~pl.col("positive")).otherwise("positive"),
        item=pl.when(late).then(0).otherwise("item").cast(pl.Int32),
        shelf=pl.when(late).then(pl.lit("elsewhere")).otherwise("shelf"),
    )
    changed = replace(taste, interactions=frame)
    one, other = fit(taste, ("shelf",)), fit(changed, ("shelf",))
    assert not frame.equals(taste.interactions)
    assert one.spec == other.spec
    assert_array_equal(one.counts, other.counts)
    assert_array_equal(one.trends, other.trends)


def test_items_without_train_events_do_not_shape_the_spec(taste: Dataset) -> None:
    dear = pl.when(pl.col("item_id") == 39).then(1e6).otherwise("price").alias("price")
    kept = taste.interactions.filter(pl.col("item") != 39)
    usual, strange = (replace(taste, interactions=kept, items=t) for t in (taste.items, taste.items.with_columns(dear)))
    assert fit(usual).spec == fit(strange).spec


def test_an_event_does_not_count_for_its_own_popularity(taste: Dataset) -> None:
    features = fit(taste)
    item = np.array([3], np.int32)
    fewer = replace(features, counts=features.counts - 1)
    assert_allclose(features.derived(np.array([4]), item, 1.0), fewer.derived(np.array([4]), item))


def test_trend_is_the_shrunken_mean_place_of_an_items_events() -> None:
    train = pl.DataFrame({"user": [0, 0, 0, 1], "item": [0, 1, 0, 1]})
    places = {0: [1 / 4, 3 / 4], 1: [2 / 4, 1 / 2]}
    expected = [(sum(p) + 0.5 * 5) / (len(p) + 5) for p in places.values()]
    assert_allclose(item_trends(train, 3, ordered=True), [*expected, 0.5], rtol=1e-6)
    assert_allclose(item_trends(train, 3, ordered=False), 0.5)


@pytest.mark.parametrize("column", ["label", "positive", "split", "no such column"])
def test_context_that_is_missing_or_an_outcome_is_refused(taste: Dataset, column: str) -> None:
    with pytest.raises(DataError, match=column) as caught:
        fit(taste, (column,))
    assert "shelf" in caught.value.remedy


def test_context_that_tells_the_outcome_is_refused(taste: Dataset) -> None:
    click = pl.col("positive").cast(pl.Int64).alias("click")
    told = replace(taste, interactions=taste.interactions.with_columns(click))
    with pytest.raises(DataError, match="tells the outcome"):
        fit(told, ("click",))


def test_the_spec_survives_the_artifact(taste: Dataset) -> None:
    features = fit(taste, ("shelf",))
    arrays, meta = features.pack()
    again = Features.unpack(arrays, meta)
    assert again.spec == features.spec == FeatureSpec(**meta)
    assert_array_equal(again.items.codes, features.items.codes)
