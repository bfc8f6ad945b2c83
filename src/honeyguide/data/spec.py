"""``dataset.toml``: what a data set's files are called and what their columns mean."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from honeyguide.core.errors import DataError

FILE_NAME = "dataset.toml"
TIME_UNITS = {"us": 1, "ms": 10**3, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
TimeUnit = Literal["us", "ms", "s", "min", "h", "d"]
Duplicates = Literal["keep", "drop", "error"]
IdKind = Literal["int", "string"]

DTYPES: dict[str, pl.DataType] = {
    "int8": pl.Int8(),
    "int16": pl.Int16(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "uint8": pl.UInt8(),
    "uint16": pl.UInt16(),
    "uint32": pl.UInt32(),
    "uint64": pl.UInt64(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us", "UTC"),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shape(_Strict):
    """How the events of a table are laid out, where it is not one event a row.

    Attributes
    ----------
    kind
        ``lists``: every element of ``items`` is an event of the row's user.
        ``windows``: rows are overlapping pieces of a user's sequence (``items`` in order, or
        ``history`` followed by ``item_id``); the sequence is put together again. The last item of
        a window belongs to the row's ``split``; items that no window ends with belong to the part
        that their user has reached, and are left out after the first test event.
    items
        Name of the list column.
    history
        Name of the list column that ``item_id`` follows (``windows`` only).
    along
        List columns parallel to ``items`` that become columns of the events.
    """

    kind: Literal["lists", "windows"]
    items: str | None = None
    history: str | None = None
    along: tuple[str, ...] = ()


class TableSpec(_Strict):
    """One table of a data set.

    Attributes
    ----------
    file
        File name relative to the folder, or the name of a database table; by default the name of
        the table with any known ending.
    separator, header
        For text files: the field separator, and the column names where the file has none.
    columns
        Name in honeyguide to name in the file. Columns that are not named are guessed or kept.
    constants
        Columns with one value for every row.
    templates
        Columns put together from others, for example ``"{lat},{lon}"``.
    times
        A time given in parts: column to unit (``d``, ``h``, ``min``, ``s``, ``ms``, ``us``); their sum
        counts from 1970.
    time_unit
        Unit of a numeric ``timestamp``; found by magnitude where not given.
    where
        Only rows that satisfy this comparison are part of the data set.
    split_values
        Value in the file to ``train``, ``valid`` or ``test``.
    order
        ``rows`` if the rows of a user stand in the order in which things happened.
    shape
        Where a row is not one event.
    dtypes
        Types of columns (``int8`` to ``uint64``, ``float32``, ``float64``, ``bool``, ``string``, ``date``,
        ``datetime``, and ``list[...]`` of them); text columns are otherwise guessed.
    """

    file: str | None = None
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    header: tuple[str, ...] | None = None
    columns: dict[str, str] = {}
    constants: dict[str, str | int | float | bool] = {}
    templates: dict[str, str] = {}
    times: dict[str, TimeUnit] = {}
    time_unit: TimeUnit | None = None
    where: str | None = None
    split_values: dict[str, Literal["train", "valid", "test"]] = {}
    order: Literal["rows"] | None = None
    shape: Shape | None = None
    dtypes: dict[str, str] = {}

    @field_validator("dtypes")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value.values():
            parse_dtype(name)
        return value


class DatasetSpec(_Strict):
    """The content of a ``dataset.toml``.

    Attributes
    ----------
    name
        For reports; by default the name of the folder.
    description, licence, source
        For people.
    positive
        Which events count as positive, for example ``"rating >= 4"``; all where it is not given.
    weights
        Weight of an event by the value of ``event``, for example ``{ view = 1, buy = 5 }``.
    duplicates
        What to do with repeated events: ``keep``, ``drop`` or ``error``.
    ids
        ``{ user = "string", item = "int" }`` settles the type of ids, where text files leave it open.
    interactions, items, users
        The main tables.
    tables
        Further tables by name: ``impressions, queries, reviews, relations, dialogues``.
    """

    name: str | None = None
    description: str | None = None
    licence: str | None = None
    source: str | None = None
    positive: str | None = None
    weights: dict[str, float] = {}
    duplicates: Duplicates = "keep"
    ids: dict[Literal["user", "item"], IdKind] = {}
    interactions: TableSpec = TableSpec()
    items: TableSpec = TableSpec()
    users: TableSpec = TableSpec()
    tables: dict[str, TableSpec] = {}


def parse_dtype(name: str) -> pl.DataType:
    """The polars type called ``name`` in a ``dataset.toml``.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name.startswith("list[") and name.endswith("]"):
        return pl.List(parse_dtype(name[5:-1]))
    if name not in DTYPES:
        raise ValueError(f"unknown type {name!r}; use one of {', '.join(DTYPES)} or list[...]")
    return DTYPES[name]


def dtype_name(dtype: pl.DataType) -> str:
    """The name of a polars type in a ``dataset.toml``; the inverse of :func:`parse_dtype`.

    Raises
    ------
    ValueError
        If it has none.
    """
    if isinstance(dtype, pl.List):
        return f"list[{dtype_name(pl.List(dtype.inner).inner)}]"  # type: ignore[arg-type]
    for name, known in DTYPES.items():
        if dtype == known:
            return name
    raise ValueError(f"the type {dtype} has no name in a dataset.toml")


def read_spec(path: Path) -> DatasetSpec:
    """Read a ``dataset.toml``.

    Raises
    ------
    DataError
        If it is not TOML or has unknown or wrong entries; the message names them.
    """
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return DatasetSpec.model_validate(content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"is not valid TOML: {error}.", "Correct the file.", file=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{where}: {first['msg']}.", "The entries are described in the documentation, page Data.", file=str(path)
        ) from error
