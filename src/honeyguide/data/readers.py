"""Files and database tables to frames with row numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from honeyguide.core.errors import DataError, UnknownNameError
from honeyguide.data.report import ROW, Audit
from honeyguide.data.spec import TableSpec
from honeyguide.data.text import read_text

ATOMIC = (".inter", ".item", ".user")  # RecBole: tabs, typed headers, no quotes
TEXT_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": ",", **dict.fromkeys(ATOMIC, "\t")}
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", *ATOMIC)
_SQL_CHUNK = 50_000


@dataclass(frozen=True)
class RawTable:
    """A table as it was found.

    Parameters
    ----------
    file
        Where it came from, for messages.
    frame
        Its columns, and :data:`ROW`.
    typed
        Whether the source knows types; otherwise every column is text.
    """

    file: str
    frame: pl.DataFrame
    typed: bool

    @property
    def names(self) -> list[str]:
        """Its columns without the row number."""
        return [name for name in self.frame.columns if name != ROW]


def read_file(path: Path, spec: TableSpec, audit: Audit) -> RawTable:
    """Read one file of any supported kind.

    Raises
    ------
    DataError
        If it is missing, empty, damaged or of an unknown kind.
    """
    if not path.is_file():
        raise DataError("there is no such file.", "Check the path.", file=str(path))
    if path.stat().st_size == 0:
        raise DataError("the file is empty.", "Point to a file with data.", file=str(path))
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        frame, typed = _read_parquet(path), True
    elif suffix in (".jsonl", ".ndjson"):
        frame, typed = _read_jsonl(path, audit), True
    elif suffix in TEXT_SEPARATORS or spec.separator is not None:
        separator = spec.separator or TEXT_SEPARATORS[suffix]
        frame, typed = read_text(path, separator, spec.header, audit, quotes=suffix not in ATOMIC), False
    else:
        raise DataError(
            f"files ending in {suffix or 'nothing'} are not read.",
            f"Use one of {', '.join(SUFFIXES)}, or give a separator for the file in dataset.toml.",
            file=str(path),
        )
    if frame.is_empty() and not audit.rejected(str(path)):
        raise DataError("the file has no rows.", "Point to a file with data.", file=str(path))
    return RawTable(str(path), frame, typed)


def from_frame(frame: pl.DataFrame, label: str) -> RawTable:
    """A frame that is in memory already."""
    return RawTable(label, frame.with_row_index(ROW, offset=1), True)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.scan_parquet(path).with_row_index(ROW, offset=1).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"the file cannot be read as Parquet: {str(error).splitlines()[0]}.", "Write it again.", file=str(path)
        ) from error


def _read_jsonl(path: Path, audit: Audit) -> pl.DataFrame:
    try:
        lazy = pl.scan_ndjson(path, infer_schema_length=None)
        frame = lazy.with_row_index(ROW, offset=1).collect(engine="streaming")
        with path.open("rb") as file:
            lines = sum(1 for _ in file)
        if frame.height == lines:
            return frame
    except pl.exceptions.PolarsError:
        pass  # read line by line instead, which names the fault
    return _read_jsonl_lines(path, audit)


def _read_jsonl_lines(path: Path, audit: Audit) -> pl.DataFrame:
    records: list[dict[str, Any]] = []
    bad: list[tuple[int, str]] = []
    blank = 0
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                blank += 1
                continue
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if isinstance(value, dict):
                records.append({**value, ROW: number})
            else:
                bad.append((number, line.rstrip("\n")))
    if bad:
        rows, texts = zip(*bad, strict=True)
        remedy = "Write one JSON object a line."
        audit.reject(str(path), None, "the line is not a JSON object", remedy, pl.Series(rows), pl.Series(texts))
    if blank:
        audit.note(f"{path.name}: {blank} blank lines hold no data")
    names = dict.fromkeys(key for record in records for key in record if key != ROW)
    columns = [_series(name, [record.get(name) for record in records]) for name in names]
    return pl.DataFrame([*columns, pl.Series(ROW, [record[ROW] for record in records], dtype=pl.UInt32)])


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    """Values of one kind as they are; of several kinds, and numbers that no type of polars holds, as text."""
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        if all(v is None or isinstance(v, int | float) for v in values):
            with suppress(OverflowError):
                return pl.Series(name, [None if v is None else float(v) for v in values], dtype=pl.Float64)
    except OverflowError:
        pass
    texts = [v if v is None or isinstance(v, str) else json.dumps(v, default=str) for v in values]
    return pl.Series(name, texts, dtype=pl.String)


def read_sql(url: str, table: str, audit: Audit) -> RawTable:
    """Read a database table in chunks through SQLAlchemy.

    Raises
    ------
    DataError
        If the database cannot be reached or read.
    UnknownNameError
        If there is no such table.
    """
    import sqlalchemy as sa

    try:
        engine = sa.create_engine(url)
        file = engine.url.database
        if engine.dialect.name == "sqlite" and file and file != ":memory:" and not Path(file).is_file():
            raise DataError("there is no such database file.", "Check the path.", file=file)  # SQLite would make one
        label = f"{engine.url.render_as_string(hide_password=True)}#{table}"
        schema, _, bare = table.rpartition(".")
        with engine.connect() as connection:
            inspector = sa.inspect(connection)
            tables = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
            if bare not in tables:
                raise UnknownNameError("table", table, tables)
            reflected = sa.Table(bare, sa.MetaData(), schema=schema or None, autoload_with=connection)
            streaming = connection.execution_options(yield_per=_SQL_CHUNK)
            result = streaming.execute(sa.select(reflected))
            names = list(result.keys())
            parts = [_sql_part(names, rows) for rows in result.partitions(_SQL_CHUNK)]
        engine.dispose()
    except sa.exc.NoSuchModuleError as error:
        raise DataError(f"no SQL dialect for this URL: {error}.", "Check the URL and install its driver.") from error
    except ModuleNotFoundError as error:
        raise DataError(
            f"the database driver {error.name} is not installed.", f"Install it: pip install {error.name}."
        ) from error
    except sa.exc.SQLAlchemyError as error:
        raise DataError(
            f"the database cannot be read: {type(error).__name__}.", "Check the URL.", file=table
        ) from error
    if not parts:
        raise DataError("the table has no rows.", "Point to a table with data.", file=label)
    frame = _concat(parts)
    return RawTable(label, frame.with_row_index(ROW, offset=1), True)


def _sql_part(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True))
    return pl.DataFrame([_series(name, column) for name, column in zip(names, columns, strict=True)])


def _concat(parts: list[pl.DataFrame]) -> pl.DataFrame:
    try:
        return pl.concat(parts, how="vertical_relaxed")
    except pl.exceptions.PolarsError:  # a column whose type changes between chunks becomes text
        mixed = [n for n in parts[0].columns if len({p[n].dtype for p in parts} - {pl.Null}) > 1]
        return pl.concat([p.with_columns(pl.col(mixed).cast(pl.String)) for p in parts], how="vertical_relaxed")
