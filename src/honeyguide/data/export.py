"""Writing a data set so that reading it gives the same data set again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import polars as pl
import tomli_w

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError, UnknownNameError
from honeyguide.data.build import decoded
from honeyguide.data.spec import FILE_NAME, dtype_name

Format = Literal["csv", "parquet", "jsonl", "recbole"]
_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"
_ATOMIC = {"interactions": "inter", "items": "item", "users": "user"}


def export(data: Dataset, folder: str | Path, format: Format = "parquet") -> Path:
    """Write all tables of ``data`` into a folder, with a ``dataset.toml`` that keeps their types.

    Parameters
    ----------
    data
        What to write. Ids are written, not codes; users and items without events are kept.
    folder
        Created if it is not there. Files of the same names are replaced.
    format
        ``csv``, ``parquet``, ``jsonl``, or ``recbole``: atomic files with typed headers, in which
        text cannot hold tabs or line breaks, elements of lists no spaces, and empty text and
        lists come back as missing.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnknownNameError
        If there is no such format.
    DataError
        If the format cannot hold a column.
    """
    writers: dict[str, Callable[[pl.DataFrame, Path], None]] = {
        "csv": _write_csv,
        "parquet": lambda frame, path: frame.write_parquet(path),
        "jsonl": lambda frame, path: _times_as_text(frame).write_ndjson(path),
        "recbole": _write_recbole,
    }
    if format not in writers:
        raise UnknownNameError("format", format, writers)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    if data.interactions.is_empty():
        raise DataError("there are no interactions to export.", "Export a data set that has some.")
    tables = {"interactions": decoded(data), "items": data.items, "users": data.users, **data.extras}
    described: dict[str, dict[str, object]] = {}
    for table, frame in tables.items():
        if frame.is_empty():
            continue
        name = f"{data.name}.{_ATOMIC[table]}" if format == "recbole" and table in _ATOMIC else None
        if format == "recbole" and table not in _ATOMIC:
            name, write = f"{table}.parquet", writers["parquet"]
        else:
            name, write = name or f"{table}.{format}", writers[format]
        write(frame, target / name)
        skip = {"user_id", "item_id"} if table in _ATOMIC else set()
        if format == "recbole":
            skip |= {"timestamp"}  # a number there
        described[table] = {"file": name, "dtypes": _dtypes(frame, table, skip)}
    further = {table: described.pop(table) for table in list(described) if table in data.extras}
    ids = {"user": _kind(data.user_ids.dtype), "item": _kind(data.item_ids.dtype)}
    content = {"name": data.name, "ids": ids, **described, "tables": further}
    (target / FILE_NAME).write_text(tomli_w.dumps(content), encoding="utf-8")
    return target


def _dtypes(frame: pl.DataFrame, table: str, skip: set[str]) -> dict[str, str]:
    try:
        return {name: dtype_name(dtype) for name, dtype in frame.schema.items() if name not in skip}
    except ValueError as error:
        raise DataError(f"{table}: {error}.", "Convert or drop the column.") from error


def _kind(dtype: pl.DataType) -> str:
    return "string" if dtype == pl.String else "int"


def _times_as_text(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.strftime(_TIME))


def _write_csv(frame: pl.DataFrame, path: Path) -> None:
    lists = [
        pl.Series(name, [_as_json(value) for value in frame[name].to_list()], pl.String)
        for name, dtype in frame.schema.items()
        if dtype.is_nested()
    ]
    _times_as_text(frame).with_columns(lists).write_csv(path)


def _as_json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _write_recbole(frame: pl.DataFrame, path: Path) -> None:
    columns = []
    for name, dtype in frame.schema.items():
        column, kind = _atomic_column(frame[name], dtype, path)
        columns.append(column.alias(f"{name}:{kind}"))
    pl.DataFrame(columns).write_csv(path, separator="\t", quote_style="never")


def _atomic_column(column: pl.Series, dtype: pl.DataType, path: Path) -> tuple[pl.Series, str]:
    name = column.name
    if isinstance(dtype, pl.List):
        elements = column.explode().drop_nulls().cast(pl.String)
        _refuse(elements, r"[\t\r\n ]|^$", name, path)
        kind = "float_seq" if pl.List(dtype.inner).inner in (pl.Float32(), pl.Float64()) else "token_seq"
        return column.cast(pl.List(pl.String)).list.join(" "), kind
    if isinstance(dtype, pl.Datetime):
        if name == "timestamp":
            return column.cast(pl.Int64) / 1e6, "float"
        return column.dt.strftime(_TIME), "token"
    text = column.cast(pl.String)
    _refuse(text.drop_nulls(), r"[\t\r\n]", name, path)
    return text, "float" if dtype.is_float() else "token"


def _refuse(values: pl.Series, pattern: str, column: str, path: Path) -> None:
    bad = values.str.contains(pattern)
    if bad.any():
        raise DataError(
            f"atomic files cannot hold {values.filter(bad)[0]!r}.",
            "Export as csv, jsonl or parquet, or clean the column.",
            file=str(path),
            column=column,
        )
