"""The part that models are chosen on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.data import splits
from honeyguide.data.build import build
from honeyguide.data.valid import asks_what_follows, ensure_valid, new_on_valid, reaching_back


def test_ensure_valid_takes_the_end_of_ordered_histories(goodbooks):
    frame = goodbooks.interactions.filter(pl.col("split") != "valid")
    data = Dataset("d", frame, goodbooks.user_ids, goodbooks.item_ids, goodbooks.items, goodbooks.users)
    given_one = ensure_valid(data, seed=1)
    assert given_one.interactions["split"].eq("valid").sum() == pytest.approx(2_672, abs=5)  # fewer users than 5 %
    assert ensure_valid(given_one) is given_one
    last = given_one.interactions.filter(pl.col("split") != "test").group_by("user", maintain_order=True).last()
    assert (
        last.filter(pl.col("user").is_in(given_one.select("valid").interactions["user"].implode()))["split"]
        .eq("valid")
        .all()
    )
    assert ensure_valid(data, seed=1).interactions.equals(given_one.interactions)


def test_ensure_valid_takes_several_of_a_user_where_test_has_several(goodbooks):
    whole = goodbooks.interactions.with_columns(place=pl.int_range(pl.len()).over("user"), n=pl.len().over("user"))
    behind = pl.when(pl.col("place") >= 0.7 * pl.col("n")).then(pl.lit("test")).otherwise(pl.lit("train"))
    frame = whole.with_columns(split=behind).drop("place", "n")
    data = Dataset("d", frame, goodbooks.user_ids, goodbooks.item_ids, goodbooks.items, goodbooks.users)
    split = ensure_valid(data).interactions
    counts = split.group_by("user").agg(
        trained=(pl.col("split") == "train").sum(), held=(pl.col("split") == "valid").sum()
    )
    assert counts["trained"].min() >= 1
    share = counts["held"].sum() / (counts["trained"].sum() + counts["held"].sum())
    assert share == pytest.approx(0.05, abs=0.01)
    assert counts["held"].max() > 1
    assert asks_what_follows(ensure_valid(data)), "each user's are the last before test"


def test_ensure_valid_takes_whole_groups_where_test_does():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"user_id": np.repeat(np.arange(40), 60), "item_id": rng.integers(0, 500, 2_400)})
    table = table.with_columns(group_id=pl.int_range(pl.len()) // 6)  # ten baskets of six each
    whole = table.with_columns(
        split=pl.when(pl.col("group_id") % 5 == 2).then(pl.lit("test")).otherwise(pl.lit("train"))
    )
    found = ensure_valid(build("baskets", whole), seed=3, share=0.1).interactions
    assert found.group_by("user", "group_id").agg(pl.col("split").n_unique())["split"].max() == 1
    assert found["split"].eq("valid").sum() == 40 * 6, "one of everybody, which is less than twice the share"
    many = ensure_valid(build("baskets", whole), share=0.4).interactions
    assert many["split"].eq("valid").sum() == pytest.approx(0.4 * many["split"].ne("test").sum(), abs=6)
    few = ensure_valid(build("baskets", whole), share=0.01).interactions
    assert few["split"].eq("valid").sum() == pytest.approx(0.02 * few["split"].ne("test").sum(), abs=6)
    assert found.filter(split="train")["user"].n_unique() == 40
    assert found["split"].eq("test").sum() == whole["split"].eq("test").sum()
    drawn = np.where(rng.random(2_400) < 0.2, "test", "train")  # cuts through baskets: events are drawn
    cut = ensure_valid(build("baskets", table.with_columns(split=pl.Series(drawn))), seed=3).interactions
    assert cut.group_by("user", "group_id").agg(pl.col("split").n_unique())["split"].max() > 1


def test_ensure_valid_leaves_everyone_a_group():
    table = pl.DataFrame({"user_id": [0, 0, 0, 0, 1, 1], "item_id": range(6), "group_id": [0, 0, 1, 1, 2, 2]})
    table = table.with_columns(split=pl.Series(["train", "train", "test", "test", "train", "train"]))
    found = ensure_valid(build("few", table), share=0.9).interactions
    assert "valid" not in set(found["split"]), "each has one train group and keeps it"


def test_ensure_valid_takes_data_without_a_split_as_train(goodbooks):
    frame = goodbooks.interactions.drop("split")
    data = Dataset("d", frame, goodbooks.user_ids, goodbooks.item_ids, goodbooks.items, goodbooks.users)
    given_one = ensure_valid(data, seed=1)
    assert given_one.parts == ("train", "valid")
    assert given_one.interactions.drop("split").equals(frame)
    assert given_one.interactions["split"].eq("valid").sum() == pytest.approx(2_672, abs=5)


def test_valid_is_drawn_as_test_was():
    """A published test part drawn at random asks for what fits in, not for what comes next."""
    n, rng = 40, np.random.default_rng(0)
    rows = [(u, int(i), p) for u in range(30) for p, i in enumerate(rng.permutation(60)[:n])]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "position"], orient="row")
    drawn = frame.with_columns(
        split=pl.when(pl.Series(rng.random(len(rows)) < 0.2)).then(pl.lit("test")).otherwise(pl.lit("train"))
    )
    later = frame.with_columns(split=pl.when(pl.col("position") >= 32).then(pl.lit("test")).otherwise(pl.lit("train")))
    for table, behind in ((drawn, False), (later, True)):
        found = ensure_valid(build("drawn", table)).interactions
        trained = found.filter(pl.col("split") == "train").group_by("user").agg(pl.col("position").max())
        valid = found.filter(pl.col("split") == "valid").join(trained, on="user", suffix="_trained")
        share = float((valid["position"] > valid["position_trained"]).mean())
        assert share == 1.0 if behind else share < 0.5


def test_a_random_valid_does_not_ask_what_follows(books):
    assert asks_what_follows(books)
    assert not asks_what_follows(splits.ratio(books))
    assert not asks_what_follows(replace(books, ordered=False))
    plain = replace(books, interactions=books.interactions.drop("split"))
    assert asks_what_follows(plain)
    assert asks_what_follows(ensure_valid(plain))


def test_only_what_is_new_to_people_can_be_found_on_valid() -> None:
    rows = [("a", "x", "train"), ("a", "y", "train"), ("a", "x", "valid"), ("a", "z", "valid")]
    rows += [("b", "y", "train"), ("b", "x", "valid"), ("c", "z", "train"), ("c", "z", "valid"), ("d", "x", "train")]
    data = build("log", pl.DataFrame(rows, schema=["user_id", "item_id", "split"], orient="row"))
    found = new_on_valid(data)
    assert [data.item_ids.values.gather(row).to_list() for row in found] == [["z"], ["x"], [], []]


def _log(*histories: str) -> Dataset:
    """A user a word: a letter is an item, and the last two events are valid and test."""
    rows = [(f"u{n}", item, place) for n, items in enumerate(histories) for place, item in enumerate(items)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "position"], orient="row")
    return splits.leave_last_out(build("log", frame))


def test_valid_reaches_back_to_something_new_where_people_come_back() -> None:
    log = _log("aaaaaaaaaabaab", "aaaaaaaaaaabcc", "bbabababababab", "cacacacacacaca")
    assert np.count_nonzero(new_on_valid(log).lengths) == 1
    found = reaching_back(log)
    valid = found.select("valid").interactions
    taken = {user: valid.filter(pl.col("user") == user)["item"].to_list() for user in range(4)}
    letters = {user: "".join(log.item_ids.values.gather(items)) for user, items in taken.items()}
    assert letters == {0: "baa", 1: "c", 2: "a", 3: "c"}  # the last two had nothing new within a fifth
    assert np.count_nonzero(new_on_valid(found).lengths) == 2
    tested = [data.select("test").interactions.drop("split") for data in (log, found)]
    assert tested[0].equals(tested[1])


def test_valid_stays_where_half_the_people_find_something_new() -> None:
    log = _log("aaaaaaaaaabaab", "aaaaaaaaaaabcc")
    assert reaching_back(log) is log


def test_ensure_valid_reaches_back_too() -> None:
    words = ["aaaaaaaaaaaaaaaaaaaab" + "ab" * (n % 2) for n in range(40)] + ["ccccccccccccccccdcc"] * 60
    log = _log(*words)
    data = ensure_valid(replace(log, interactions=log.interactions.drop("split", strict=False)), share=0.05)
    assert np.count_nonzero(new_on_valid(data).lengths) == 100
    assert data.select("train").interactions["user"].n_unique() == 100
