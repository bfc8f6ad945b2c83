"""Categorical features: which columns they are, and that a new item falls into the buckets of the old."""

from __future__ import annotations

import subprocess
import sys

import polars as pl

from honeyguide.encode.categories import category_buckets, category_columns

ITEMS = pl.DataFrame(
    {
        "item_id": range(8),
        "title": [f"A title of its own {i}" for i in "abcdefgh"],
        "brand": ["OPI", "Essie", "OPI", None, "Essie", "OPI", "OPI", "Essie"],
        "genres": [["Drama", "Comedy"], ["Drama"], [], ["Comedy"], ["Drama"], ["Drama"], ["Comedy"], None],
        "categories": ["Beauty > Nails", "Beauty > Hair"] * 4,
        "year": ["1999"] * 8,
    }
)


def test_columns_whose_values_repeat_are_categories() -> None:
    assert category_columns(ITEMS) == ["categories", "brand", "genres"]


def test_a_value_has_one_bucket_whatever_the_table() -> None:
    columns = category_columns(ITEMS)
    buckets = category_buckets(ITEMS, columns, 1000)
    assert [len(row) for row in buckets] == [5, 4, 3, 3, 4, 4, 4, 3]
    new = category_buckets(pl.DataFrame({"brand": ["opi "], "genres": [["Drama", "Comedy"]]}), columns, 1000)
    assert set(new[0]) < set(buckets[0])
    assert buckets.values.max() < 1000
    assert [len(row) for row in category_buckets(ITEMS.select("item_id"), columns, 1000)] == [0] * 8


def test_the_same_value_in_another_column_is_another_feature() -> None:
    both = pl.DataFrame({"maker": ["X"], "seller": ["X"]})
    assert len(category_buckets(both, ["maker", "seller"], 100_000)[0]) == 2


def test_buckets_are_the_same_in_every_process() -> None:
    code = (
        "import polars as pl\n"
        "from honeyguide.encode.categories import category_buckets\n"
        "print(category_buckets(pl.DataFrame({'brand': ['OPI']}), ['brand'], 4096).values[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == category_buckets(pl.DataFrame({"brand": ["OPI"]}), ["brand"], 4096).values[0]
