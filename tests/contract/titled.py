"""Data sets of the contract suite: every item has a title, so that models which read text are held to it too."""

from __future__ import annotations

from functools import cache

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.data import build as building
from honeyguide.data.load import load_data


@cache
def _titles() -> dict[object, str]:
    return {code: f"{title} {authors}" for code, (title, authors) in enumerate(_books().rows())}


@cache
def _books() -> pl.DataFrame:
    return load_data("goodbooks-mini").items.select("title", "authors")


def titled(ids: pl.Series) -> pl.DataFrame:
    """Item table of ``ids``: the title of the book with that code, or the id in words."""
    titles = [_titles().get(item, f"a thing called {item}") for item in ids.to_list()]
    return pl.DataFrame({"item_id": ids, "title": titles})


def build(
    name: str, interactions: pl.DataFrame, items: pl.DataFrame | None = None, users: pl.DataFrame | None = None
) -> Dataset:
    """As :func:`honeyguide.data.build.build`, with titles."""
    ids = interactions["item_id"]
    if items is not None:
        ids = ids.append(items["item_id"].cast(ids.dtype))
    return building.build(name, interactions, titled(ids.unique().sort()), users)
