"""Catalogues that differ in the codes of the same items."""

from __future__ import annotations

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build


def without_first(books: Dataset, n: int) -> Dataset:
    """The books without the first ``n``: every code means another book."""
    ids = books.item_ids.values[n:]
    frame = books.interactions.select(
        user_id=pl.Series(books.user_ids.decode(books.interactions["user"].to_numpy())),
        item_id=pl.Series(books.item_ids.decode(books.interactions["item"].to_numpy())),
        position=pl.int_range(pl.len()).over("user"),
    ).filter(pl.col("item_id").is_in(ids.implode()))
    return build("fewer", frame, books.items.filter(pl.col("item_id").is_in(ids.implode())))
