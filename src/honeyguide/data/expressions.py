"""The small comparison language of ``positive`` and ``where``: parsed, never evaluated as code.

    condition   = comparison { "and" comparison }
    comparison  = column operator value | column ["not"] "in" value { "," value }
    operator    = ">=" | "<=" | ">" | "<" | "==" | "=" | "!="

Examples: ``rating >= 4``, ``event in buy, cart``, ``rating >= 4 and event != refund``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from honeyguide.core.errors import ConfigError, DataError

_COMPARISON = re.compile(r"\s*([\w.:-]+?)\s*(>=|<=|==|!=|=|>|<)\s*(.+?)\s*")
_MEMBERSHIP = re.compile(r"\s*([\w.:-]+)\s+(not\s+in|in)\s+(.+?)\s*", re.IGNORECASE)
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}
_ORDER = (">=", "<=", ">", "<")


def condition(text: str, schema: Mapping[str, pl.DataType], renamed: Mapping[str, str] | None = None) -> pl.Expr:
    """The Boolean polars expression that ``text`` stands for; never null.

    Parameters
    ----------
    text
        A condition in the language above.
    schema
        Columns and types of the table that it is about.
    renamed
        Names that columns had in the file, to their names in the table.

    Raises
    ------
    ConfigError
        If the text is not a condition.
    DataError
        If a column does not exist, or an order is asked of text.
    """
    parts = re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE)
    terms = [_term(part, text, schema, renamed or {}) for part in parts]
    return pl.all_horizontal(terms).fill_null(False)


def _term(part: str, text: str, schema: Mapping[str, pl.DataType], renamed: Mapping[str, str]) -> pl.Expr:
    if match := _MEMBERSHIP.fullmatch(part):
        name = _column(match[1], schema, renamed)
        values = [_unquote(v.strip()) for v in match[3].strip("[](){} ").split(",")]
        found = _as_text(name, schema[name]).is_in([_like_text(v, schema[name]) for v in values])
        return ~found if match[2].lower().startswith("not") else found
    if match := _COMPARISON.fullmatch(part):
        name = _column(match[1], schema, renamed)
        return _compare(name, schema[name], match[2], _unquote(match[3]))
    raise ConfigError(
        f"{text!r} is not a condition.", "Write for example 'rating >= 4', 'event in buy,cart', or two joined by 'and'."
    )


def _column(name: str, schema: Mapping[str, pl.DataType], renamed: Mapping[str, str]) -> str:
    for candidate in (name, renamed.get(name, "")):
        if candidate in schema:
            return candidate
    names = ", ".join(c for c in schema if not c.startswith("__"))
    raise DataError(f"the condition names a column {name!r} that is not there.", f"Columns: {names}.", column=name)


def _compare(name: str, dtype: pl.DataType, symbol: str, value: str) -> pl.Expr:
    compare = _OPERATORS[symbol]
    try:
        number = float(value)
    except ValueError:
        if symbol in _ORDER:
            raise DataError(
                f"{value!r} is not a number, so {symbol} cannot compare with it.", "Use == or in.", column=name
            ) from None
        equal: pl.Expr = compare(_as_text(name, dtype), value)
        return equal
    if dtype == pl.Boolean or dtype.is_numeric():
        result: pl.Expr = compare(pl.col(name).cast(pl.Float64), number)
    elif symbol in _ORDER:
        result = compare(pl.col(name).cast(pl.String).cast(pl.Float64, strict=False), number)
    else:
        result = compare(_as_text(name, dtype), value)
    return result


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype.is_float():
        return column.cast(pl.Float64)
    return column.cast(pl.String)


def _like_text(value: str, dtype: pl.DataType) -> str | float:
    if not dtype.is_float():
        return value
    try:
        return float(value)
    except ValueError:
        raise DataError(f"{value!r} is not a number, and the column holds numbers.", "Correct the condition.") from None


def _unquote(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
