"""Every split partitions the events and keeps its promise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError, UnknownNameError
from honeyguide.data import splits
from honeyguide.data.build import build
from honeyguide.data.valid import ensure_valid


@st.composite
def logs(draw: st.DrawFn, ordered: bool = True) -> Dataset:
    events = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=60))
    frame = pl.DataFrame(events, schema=["user_id", "item_id"], orient="row")
    if ordered:
        times = draw(st.lists(st.integers(0, 50), min_size=len(events), max_size=len(events)))
        start = datetime(2024, 1, 1, tzinfo=UTC)
        stamps = pl.Series("timestamp", [start + timedelta(hours=t) for t in times], dtype=pl.Datetime("us", "UTC"))
        frame = frame.with_columns(stamps)
    return build("log", frame)


def same_events(a: Dataset, b: Dataset) -> bool:
    columns = [c for c in a.interactions.columns if c != "split"]
    return a.interactions.select(columns).equals(b.interactions.select(columns))


@pytest.mark.parametrize("name", [n for n in splits.STRATEGIES if n not in ("auto", "leave-last-new-out")])
@settings(max_examples=25, deadline=None)
@given(data=logs())
def test_parts_partition_the_events(name, data):
    split = splits.STRATEGIES[name](data)
    assert same_events(data, split)
    assert split.interactions["split"].is_in(["train", "valid", "test"]).all()
    assert sum(split.select(p).interactions.height for p in ("train", "valid", "test")) == data.interactions.height


@settings(max_examples=50, deadline=None)
@given(data=logs(), valid=st.integers(0, 3), test=st.integers(0, 3))
def test_leave_last_out_takes_the_last(data, valid, test):
    split = splits.leave_last_out(data, valid=valid, test=test)
    for user, parts in split.interactions.group_by("user", maintain_order=True).agg("split").rows():
        n = len(parts)
        n_test = min(test, n - 1)
        n_valid = min(valid, n - 1 - n_test)
        assert parts == ["train"] * (n - n_test - n_valid) + ["valid"] * n_valid + ["test"] * n_test, user


@settings(max_examples=50, deadline=None)
@given(data=logs())
def test_leave_last_new_out_asks_for_news_and_for_nothing_after_them(data):
    split = splits.leave_last_new_out(data)
    events = data.interactions.group_by("user", maintain_order=True).agg("item").rows()
    found = dict(split.interactions.group_by("user", maintain_order=True).agg(pl.struct("item", "split")).rows())
    for user, items in events:
        news = max(place for place, item in enumerate(items) if item not in items[:place])
        parts = [row["split"] for row in found[user]]
        assert [row["item"] for row in found[user]] == (items[: news + 1] if news else items)
        expected = ["train"] * (news - 1) + ["valid" if news > 1 else "train", "test"]
        assert parts == (expected if news else ["train"] * len(items))


@settings(max_examples=50, deadline=None)
@given(data=logs())
def test_global_time_never_trains_on_the_future(data):
    split = splits.global_time(data, valid=0.2, test=0.2)
    bounds = split.interactions.group_by("split").agg(
        pl.col("timestamp").min().alias("first"), pl.col("timestamp").max().alias("last")
    )
    at = {row["split"]: row for row in bounds.to_dicts()}
    present = [p for p in ("train", "valid", "test") if p in at]
    for earlier, later in pairwise(present):
        assert at[earlier]["last"] < at[later]["first"]


def test_global_time_by_dates():
    stamps = [datetime(2024, 1, d, tzinfo=UTC) for d in range(1, 11)]
    data = build("d", pl.DataFrame({"user_id": [1] * 10, "item_id": range(10), "timestamp": stamps}))
    split = splits.global_time(data, valid="2024-01-06", test=datetime(2024, 1, 9, tzinfo=UTC))
    assert split.interactions["split"].to_list() == ["train"] * 5 + ["valid"] * 3 + ["test"] * 2
    assert splits.global_time(data, valid=0.1, test="2024-01-09").select("valid").interactions.height == 1
    with pytest.raises(ConfigError, match="valid must not begin after test"):
        splits.global_time(data, valid="2024-01-09", test="2024-01-02")
    with pytest.raises(ConfigError, match="is not a moment"):
        splits.global_time(data, test="yesterday")


def test_rolling_tests_on_ever_later_slices():
    stamps = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=h) for h in range(100)]
    data = build("d", pl.DataFrame({"user_id": np.arange(100) % 5, "item_id": np.arange(100), "timestamp": stamps}))
    folds = list(splits.rolling(data, 3, share=0.1))
    assert [f.interactions.height for f in folds] == [80, 90, 100]
    for fold in folds:
        frame = fold.interactions
        last_known = frame.filter(pl.col("split") != "test")["timestamp"].max()
        assert frame.filter(pl.col("split") == "test")["timestamp"].min() > last_known
        assert frame["split"].value_counts().filter(pl.col("split") == "test")["count"].item() == 10
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        next(splits.rolling(data, 9, share=0.1))


def test_ratio_is_seeded_and_per_user():
    data = build("d", pl.DataFrame({"user_id": np.repeat(np.arange(20), 10), "item_id": np.tile(np.arange(10), 20)}))
    one, again, other = (splits.ratio(data, seed=s).interactions["split"] for s in (1, 1, 2))
    assert one.equals(again)
    assert not one.equals(other)
    counts = splits.ratio(data).interactions.group_by("user", "split").len()
    assert set(counts.filter(pl.col("split") == "test")["len"]) == {2}
    assert set(counts.filter(pl.col("split") == "valid")["len"]) == {1}


@pytest.mark.parametrize(("strategy", "column"), [(splits.cold_item, "item"), (splits.cold_user, "user")])
def test_cold_groups_are_in_one_part_only(goodbooks, strategy, column):
    split = strategy(goodbooks, seed=3).interactions
    assert split.group_by(column).agg(pl.col("split").n_unique())["split"].max() == 1
    share = split.filter(pl.col("split") == "test")[column].n_unique() / split[column].n_unique()
    assert share == pytest.approx(0.1, abs=0.001)


def test_ties_are_shuffled_and_nothing_else():
    stamps = [datetime(2024, 1, 1 + i // 8, tzinfo=UTC) for i in range(40)]
    frame = pl.DataFrame({"user_id": [1] * 40, "item_id": range(40), "timestamp": stamps, "position": range(40)})
    data = splits.leave_last_out(build("d", frame))
    mixed = splits.tie_shuffled(data, seed=1)
    assert mixed.interactions["item"].to_list() != data.interactions["item"].to_list()
    assert mixed.interactions["position"].to_list() == list(range(40))
    assert mixed.interactions["split"].equals(data.interactions["split"])
    for day in range(5):
        days = slice(8 * day, 8 * day + 8)
        assert sorted(mixed.interactions["item"][days]) == list(range(8 * day, 8 * day + 8))
    assert splits.tie_shuffled(data, seed=1).interactions.equals(mixed.interactions)


def test_ties_of_positions_cannot_be_known(goodbooks):
    with pytest.raises(DataError, match="nobody can know which events are ties"):
        splits.tie_shuffled(goodbooks)


def test_adjacent_events_are_swapped_within_a_part(goodbooks):
    swapped = splits.adjacent_swapped(goodbooks, p=0.5, seed=0)
    old, new = goodbooks.interactions, swapped.interactions
    assert new.select("user", "position", "split").equals(old.select("user", "position", "split"))
    moved = (old["item"] != new["item"]).mean()
    assert 0.4 < moved < 0.55
    assert new.sort("user", "split", "item")["item"].equals(old.sort("user", "split", "item")["item"])
    assert splits.adjacent_swapped(goodbooks, p=0.0).interactions.equals(old)


def test_auto_prefers_what_is_published(goodbooks):
    assert splits.auto_split(goodbooks) is goodbooks
    unsplit = splits.split_by_name(goodbooks, "none")
    assert (
        splits.auto_split(unsplit).interactions["split"].eq("test").sum() == 2_670
    )  # two readers have a single rating
    unordered = build("u", pl.DataFrame({"user_id": [1] * 10, "item_id": range(10)}))
    assert splits.auto_split(unordered).interactions["split"].eq("test").sum() == 2
    with pytest.raises(DataError, match="no order"):
        splits.leave_last_out(unordered)
    with pytest.raises(UnknownNameError):
        splits.split_by_name(unordered, "lastout")


def test_a_split_describes_itself(goodbooks):
    text = splits.Split.of(goodbooks).describe()
    assert text == (
        "train 196,367 events of 2,670 users; valid 2,670 events of 2,670 users; test 2,672 events of 2,672 users"
    )


def test_cold_and_warm_holds_out_items_and_the_last_events_on_the_others(books):
    data = splits.cold_and_warm(books, valid=0.05, test=0.1, seed=3)
    only_items = splits.cold_item(books, valid=0.05, test=0.1, seed=3)
    train, test = data.popularity("train"), data.histories("test")
    cold = only_items.popularity("test") > 0
    assert (train[cold] == 0).all()
    whole = data.histories()
    for user in range(0, books.n_users, 17):
        warm = [item for item in whole[user] if only_items.popularity("train")[item] > 0]
        expected = {item for item in whole[user] if cold[item]} | ({warm[-1]} if len(warm) > 1 else set())
        assert set(test[user]) == expected


@settings(max_examples=30, deadline=None)
@given(data=logs(ordered=False), seed=st.integers(0, 5))
def test_ensure_valid_leaves_every_user_something(data, seed):
    split = ensure_valid(splits.ratio(data, valid=0.0), seed=seed, share=0.5)
    trained = set(split.select("train").interactions["user"])
    assert trained == set(data.interactions["user"])
