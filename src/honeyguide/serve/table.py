"""Fields as they come over the wire, in the types of a table: what does not fit is missing, and never an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

_PLAIN = (str, int, float, bool)


def typed_table(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """A table of ``rows``; fields that it has no column for are left out.

    Parameters
    ----------
    rows
        One mapping of fields a row; their values came from JSON.
    schema
        Columns and types of the table.
    """
    return pl.DataFrame([_column(name, dtype, [row.get(name) for row in rows]) for name, dtype in schema.items()])


def _column(name: str, dtype: pl.DataType, values: list[Any]) -> pl.Series:
    if isinstance(dtype, pl.List):
        lists = [value if isinstance(value, list) else None if value is None else [value] for value in values]
        column = pl.Series(name, [None if v is None else [_text(e) for e in v] for v in lists], pl.List(pl.String))
    else:
        column = pl.Series(name, [_text(value) for value in values], pl.String)
    try:
        return column.cast(dtype, strict=False)
    except pl.exceptions.PolarsError:  # there is no way from a text to this type
        return pl.Series(name, [None] * len(values), dtype)


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, _PLAIN) else None
