"""Categorical features of items: genres, brands, category levels, as numbers of buckets that any new item shares."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import polars as pl

from honeyguide.core.ragged import Ragged
from honeyguide.encode.items import text_columns

_REPEATED = 2.0  # times a value of a categorical column occurs, on average
_LONGEST = 60  # characters of a value: longer ones are sentences


def category_columns(items: pl.DataFrame) -> list[str]:
    """The columns of words whose values many items share, by a rule that sees the table alone.

    Parameters
    ----------
    items
        Item table.
    """
    found = []
    for column in text_columns(items):
        values = [value for row in items[column].to_list() for value in category_values(row)]
        distinct = len(set(values))
        short = sum(map(len, values)) <= _LONGEST * len(values)
        if values and short and len(values) >= _REPEATED * distinct:
            found.append(column)
    return found


def category_buckets(items: pl.DataFrame, columns: Sequence[str], n_buckets: int) -> Ragged:
    """The buckets in ``[0, n_buckets)`` of every item: one per distinct value, a list or a path holding several.

    The bucket of a value is its CRC-32 together with the name of its column, modulo ``n_buckets``: the same in
    every process, for values never seen before too. Columns that ``items`` lacks say nothing.

    Parameters
    ----------
    items
        Item table.
    columns
        Columns to read.
    n_buckets
        Number of buckets; two values that meet in one cannot be told apart.
    """
    present = [column for column in columns if column in items.columns]
    rows = items.select(present).iter_rows() if present else ((),) * items.height
    lists = []
    for row in rows:
        named = zip(present, row, strict=True)
        texts = {f"{column}={value}" for column, cell in named for value in category_values(cell)}
        lists.append(sorted({zlib.crc32(text.encode()) % n_buckets for text in texts}))
    return Ragged.from_lists(lists)


def category_values(cell: object) -> list[str]:
    """The values that a cell of a categorical column holds, in small letters: of a list or a path, several."""
    cells = [cell] if isinstance(cell, str) else list(cell) if isinstance(cell, Iterable) else []
    levels = [level.strip().lower() for value in cells if value is not None for level in str(value).split(" > ")]
    return [level for level in levels if level]
