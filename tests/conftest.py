"""A few hundred readers of the bundled books, small enough to fit anything on in a moment."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.data.build import build
from honeyguide.data.export import export
from honeyguide.data.load import load_data


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of vectors that no other run has filled; processes that tests start share it."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["HONEYGUIDE_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def books() -> Dataset:
    """300 readers and the 400 most read books, with titles; last book test, last but one valid."""
    whole = load_data("goodbooks-mini")
    favourite = np.argsort(-whole.popularity(), kind="stable")[:400].tolist()
    events = whole.interactions.filter(pl.col("user") < 300, pl.col("item").is_in(favourite))
    from_end = pl.int_range(pl.len(), 0, -1).over("user")
    split = (
        pl.when(from_end == 1).then(pl.lit("test")).when(from_end == 2).then(pl.lit("valid")).otherwise(pl.lit("train"))
    )
    frame = events.select(
        user_id=pl.Series(whole.user_ids.decode(events["user"].to_numpy())),
        item_id=pl.Series(whole.item_ids.decode(events["item"].to_numpy())),
        position=pl.int_range(pl.len()).over("user"),
        split=split,
    )
    items = whole.items.filter(pl.col("item_id").is_in(frame["item_id"].implode()))
    return build("books", frame, items.select("item_id", "title", "authors"))


@pytest.fixture(scope="session")
def books_folder(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as CSV files in a folder."""
    folder = tmp_path_factory.mktemp("data") / "books"
    export(books, folder, "csv")
    return folder
