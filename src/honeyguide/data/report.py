"""What reading found: rows set aside, with their reasons, and notes."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from honeyguide.core.errors import DataError, column_place

if TYPE_CHECKING:
    from honeyguide.data.reading import Reading

ROW = "__row"  # number of a data row, from 1, while tables are being read
_HEADED = (".csv", ".tsv", ".txt", ".inter", ".item", ".user")
QUARANTINE_SCHEMA = {
    "file": pl.String(),
    "row": pl.Int64(),
    "column": pl.String(),
    "meaning": pl.String(),
    "value": pl.String(),
    "reason": pl.String(),
    "remedy": pl.String(),
}
TABLES_SCHEMA = {"table": pl.String(), "file": pl.String(), "rows": pl.Int64(), "kept": pl.Int64()}

_LOG = logging.getLogger("honeyguide.data")
_MAX_REJECTED = 0.5
_VALUE_LENGTH = 200


@dataclass(frozen=True)
class CheckReport:
    """The outcome of reading a data set.

    Parameters
    ----------
    name
        The data set.
    tables
        One row per table: ``table, file, rows`` (read) and ``kept``.
    quarantine
        One row per rejected row: ``file, row`` (data rows count from 1), ``column`` (as the file calls it), ``meaning``
        (as honeyguide does), ``value, reason, remedy``.
    notes
        What was guessed or converted, in words.
    error
        The fault that makes the data set unusable as it is, or ``None``.
    reading
        How the events were read; ``None`` where there were none.
    """

    name: str
    tables: pl.DataFrame
    quarantine: pl.DataFrame
    notes: tuple[str, ...]
    error: DataError | None = None
    reading: Reading | None = None

    @property
    def ok(self) -> bool:
        """Whether every row was accepted."""
        return self.error is None and self.quarantine.is_empty()

    @property
    def reasons(self) -> pl.DataFrame:
        """Rejected rows counted by ``file, column, meaning, reason, remedy``, most frequent first."""
        keys = ("file", "column", "meaning", "reason", "remedy")
        grouped = self.quarantine.group_by(*keys, maintain_order=True).agg(
            pl.len().cast(pl.Int64).alias("rows"), pl.col("row").first().alias("first_row")
        )
        return grouped.sort("rows", descending=True, maintain_order=True)

    def write_quarantine(self, path: str | Path | None = None) -> Path:
        """Write the rejected rows as CSV, by default to ``NAME.quarantine.csv``, and return its path."""
        target = Path(f"{Path(self.name).name}.quarantine.csv" if path is None else path)
        self.quarantine.write_csv(target)
        return target

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able summary."""
        return {
            "name": self.name,
            "ok": self.ok,
            "tables": self.tables.to_dicts(),
            "rejected": self.reasons.to_dicts(),
            "notes": list(self.notes),
            "error": None if self.error is None else str(self.error),
        }

    def warn(self) -> None:
        """Log how many rows were set aside, if any, for who does not print the report."""
        for row in self.reasons.to_dicts():
            _LOG.warning(
                "%s: %s of %s set aside%s: %s (%s). %s",
                self.name,
                _rows(row["rows"]),
                row["file"],
                _place(row),
                *(row["reason"], _first(row), row["remedy"]),
            )

    def __str__(self) -> str:
        lines = [
            f"{row['table']}: {row['kept']:,} of {row['rows']:,} rows from {row['file']}"
            for row in self.tables.to_dicts()
        ]
        for row in self.reasons.to_dicts():
            lines.append(
                f"{_rows(row['rows'])} set aside: {row['file']}{_place(row)}: {row['reason']} "
                f"({_first(row)}). {row['remedy']}"
            )
        if self.error is not None:
            lines.append(f"error: {self.error}")
        return "\n".join([f"{self.name}:", *lines, *self.notes])


def _rows(n: int) -> str:
    return f"{n:,} row" if n == 1 else f"{n:,} rows"


def _place(row: Mapping[str, Any]) -> str:
    """Where in a row; nothing for a fault of the whole row."""
    return "" if row["column"] is None else f", {column_place(row['column'], row['meaning'])}"


def _first(row: Mapping[str, Any]) -> str:
    """The first of the rows, and how it was counted where a file may have a line of names before its rows."""
    headed = Path(row["file"]).suffix.lower() in _HEADED
    return f"first: row {row['first_row']}{', not counting the header' if headed else ''}"


class Audit:
    """Collects rejected rows and notes while tables are read.

    Parameters
    ----------
    name
        The data set.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reading: Reading | None = None
        self._rejected: list[pl.DataFrame] = []
        self._notes: list[str] = []
        self._tables: list[dict[str, str | int]] = []
        self._called: dict[tuple[str, str], str] = {}

    def names(self, file: str, renamed: Mapping[str, str]) -> None:
        """Take down what a file calls its columns, so that messages name them so; ``renamed`` is to honeyguide's."""
        self._called |= {(file, meaning): name for name, meaning in renamed.items()}

    def called(self, file: str, column: str) -> str:
        """What a file calls one of honeyguide's columns."""
        return self._called.get((file, column), column)

    def fault(self, message: str, remedy: str, file: str, column: str) -> DataError:
        """The error that one of honeyguide's columns cannot be used, under its name in the file."""
        return DataError(message, remedy, file=file, column=self.called(file, column), meaning=column)

    def note(self, text: str) -> None:
        """Record something worth knowing, once, and log it."""
        if text not in self._notes:
            self._notes.append(text)
            _LOG.info("%s: %s", self.name, text)

    def reject(
        self, file: str, column: str | None, reason: str, remedy: str, rows: pl.Series, values: pl.Series
    ) -> None:
        """Set rows aside; ``values`` are what was found in ``column``, one of honeyguide's."""
        if len(rows) == 0:
            return
        text = values.cast(pl.String, strict=False) if not values.dtype.is_nested() else _as_json(values)
        frame = pl.DataFrame({"row": rows.cast(pl.Int64), "value": text.str.head(_VALUE_LENGTH)})
        called = None if column is None else self.called(file, column)
        constants = {"file": file, "column": called, "meaning": column, "reason": reason, "remedy": remedy}
        self._rejected.append(
            frame.with_columns(pl.lit(v, pl.String).alias(k) for k, v in constants.items()).select(
                list(QUARANTINE_SCHEMA)
            )
        )

    def sift(
        self, frame: pl.DataFrame, bad: pl.Series, file: str, column: str, reason: str, remedy: str
    ) -> pl.DataFrame:
        """``frame`` without the rows marked ``bad``, which are set aside."""
        if not bad.any():
            return frame
        rejected = frame.filter(bad)
        values = (
            rejected[column] if column in rejected.columns else pl.Series([None] * rejected.height, dtype=pl.String)
        )
        self.reject(file, column, reason, remedy, rejected[ROW], values)
        return frame.filter(~bad)

    def rejected(self, file: str) -> int:
        """How many rows of ``file`` were set aside so far."""
        return sum(part.height for part in self._rejected if part["file"][0] == file)

    def has_read(self, table: str) -> bool:
        """Whether a table was read."""
        return any(row["table"] == table for row in self._tables)

    def table(self, table: str, file: str, kept: int) -> None:
        """Record the size of a table that was read.

        Raises
        ------
        DataError
            If no row, or less than half of them, could be kept.
        """
        bad = self.rejected(file)
        self._tables.append({"table": table, "file": file, "rows": kept + bad, "kept": kept})
        if bad and bad > _MAX_REJECTED * (kept + bad):
            first = self.report().reasons.row(0, named=True)
            raise DataError(
                f"{bad:,} of {kept + bad:,} rows cannot be used; the most frequent reason: {first['reason']}.",
                first["remedy"],
                file=file,
                row=first["first_row"],
                column=first["column"],
                meaning=first["meaning"],
            )

    def report(self, error: DataError | None = None) -> CheckReport:
        """What was found so far."""
        empty = pl.DataFrame(schema=QUARANTINE_SCHEMA)
        return CheckReport(
            name=self.name,
            tables=pl.DataFrame(self._tables, schema=TABLES_SCHEMA),
            quarantine=pl.concat([empty, *self._rejected]),
            notes=tuple(self._notes),
            error=error,
            reading=self.reading,
        )


def _as_json(values: pl.Series) -> pl.Series:
    return pl.Series([json.dumps(v, default=str) for v in values.to_list()], dtype=pl.String)
