"""Delimited text: read by polars where the file is clean, record by record where it is not.

A file is first looked over as bytes (numpy, in pieces). Only if it holds nothing unusual is it
handed to polars; otherwise it is read one record at a time so that each fault can be reported with
its row number and every good row is kept.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.data.report import ROW, Audit

_CHUNK = 8 << 20
_BATCH = 100_000
_MAX_LINES = 1_000  # of one quoted field, before its quote is taken for a stray one
_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # bytes that could not be decoded, as "surrogateescape" keeps them
_NOT_UTF16 = re.compile("\ufffd")  # as "replace" writes them: UTF-16 has no bytes to keep
_CONVERT = "Convert the file, for example: iconv -f latin1 -t utf-8."

Bytes = npt.NDArray[np.uint8]


class Dialect(NamedTuple):
    """How a file is written; without ``quotes`` a quote is a character like any other."""

    encoding: str
    separator: str
    names: list[str]
    has_header: bool
    quotes: bool = True

    def lines(self, path: Path) -> TextIO:
        """The file as text, with its line ends; open until closed."""
        errors = "surrogateescape" if self.encoding.startswith("utf-8") else "replace"
        return path.open(encoding=self.encoding, errors=errors, newline="")

    def garbled(self, record: str) -> bool:
        """Whether a record holds bytes that the encoding does not know."""
        mark = _NOT_UTF8 if self.encoding.startswith("utf-8") else _NOT_UTF16
        return not record.isascii() and mark.search(record) is not None

    def fields(self, record: str, *, strict: bool = False) -> list[str] | None:
        """The fields of one record; ``None`` if its quotes make no sense, or (``strict``) one is not closed."""
        if not self.quotes or '"' not in record:
            return record.split(self.separator)
        try:
            return next(csv.reader([record], delimiter=self.separator, strict=strict))
        except csv.Error:
            return None

    def fits(self, record: str) -> bool:
        """Whether a record has as many fields as there are columns."""
        fields = self.fields(record)
        return fields is not None and len(fields) == len(self.names)


def read_text(
    path: Path, separator: str, header: tuple[str, ...] | None, audit: Audit, *, quotes: bool = True
) -> pl.DataFrame:
    """All columns as text, and the row number; unusable rows are set aside.

    Parameters
    ----------
    path
        The file.
    separator
        Expected between fields; another usual one is taken if the header has only that.
    header
        Column names, if the file has none.
    audit
        Receives what was rejected.
    quotes
        Whether fields may be quoted.

    Raises
    ------
    DataError
        If the file is empty, or its header repeats or lacks names.
    """
    dialect = _dialect(path, separator, header, quotes, audit)
    n_rows = _count_if_clean(path, dialect)
    frame = None if n_rows is None else _scan(path, dialect)
    if frame is None or frame.height != n_rows:
        frame = _read_records(path, dialect, audit)
    if frame.is_empty() and not audit.rejected(str(path)):
        raise DataError("the file has no rows.", "Point to a file with data.", file=str(path))
    return frame


def _dialect(path: Path, separator: str, header: tuple[str, ...] | None, quotes: bool, audit: Audit) -> Dialect:
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.strip(b"\x00\r\n\t \xef\xbb\xbf\xff\xfe"):
        raise DataError("the file is empty.", "Point to a file with data.", file=str(path))
    encoding = next((name for bom, name in _BOMS if head.startswith(bom)), _guess_utf16(head))
    if encoding != "utf-8":
        audit.note(f"{path.name}: read as {encoding.upper()}")
    dialect = Dialect(encoding, separator, list(header or ()), header is None, quotes)
    with dialect.lines(path) as file:
        first = file.readline().rstrip("\r\n")
    if dialect.garbled(first):
        raise DataError(f"the first line is not {encoding.upper()}.", _CONVERT, file=str(path))
    if header is not None:
        return dialect
    if separator not in first:
        other = next((s for s in ("\t", ";", "|", ",") if s in first), separator)
        if other != separator:
            audit.note(f"{path.name}: fields are separated by {other!r}")
            separator = other
    names = [name.strip().strip("\x00") for name in next(csv.reader([first], delimiter=separator), [])]
    return dialect._replace(separator=separator, names=_checked_header(names, path))


def _checked_header(names: list[str], path: Path) -> list[str]:
    if not any(names):
        raise DataError("the first line is empty; it should name the columns.", "Remove it.", file=str(path))
    names = [name or f"column_{i + 1}" for i, name in enumerate(names)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"the header names {', '.join(map(repr, repeated))} more than once.",
            "Give every column a name of its own.",
            file=str(path),
            column=repeated[0],
        )
    return names


def _guess_utf16(head: bytes) -> str:
    sample = np.frombuffer(head[: len(head) // 2 * 2], np.uint8).reshape(-1, 2) == 0
    if len(sample) >= 4:
        low, high = sample.mean(axis=0)
        if high > 0.8 and low < 0.1:
            return "utf-16-le"
        if low > 0.8 and high < 0.1:
            return "utf-16-be"
    return "utf-8"


def _scan(path: Path, dialect: Dialect) -> pl.DataFrame | None:
    lazy = pl.scan_csv(
        path,
        separator=dialect.separator,
        quote_char='"' if dialect.quotes else None,
        has_header=dialect.has_header,
        schema=dict.fromkeys(dialect.names, pl.String()),
        row_index_name=ROW,
        row_index_offset=1,
    )
    try:
        return lazy.collect(engine="streaming")
    except pl.exceptions.PolarsError:
        return None  # read record by record instead, which names the fault


def _count_if_clean(path: Path, dialect: Dialect) -> int | None:
    """Number of data rows if polars will read the file as it was meant, else ``None``."""
    if dialect.encoding not in ("utf-8", "utf-8-sig"):
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    census = _Census(ord(dialect.separator), len(dialect.names), dialect.quotes)
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return None
            if not census.add(np.frombuffer(block, np.uint8)):
                return None
    records = census.finish()
    return None if records is None else records - int(dialect.has_header)


class _Census:
    """Counts records and fields over the pieces of a file, until something unusual turns up."""

    def __init__(self, separator: int, n_fields: int, quotes: bool) -> None:
        self.separator, self.n_fields, self.quotes = separator, n_fields, quotes
        self.records = 0
        self.fields = 0  # separators of the record that goes on in the next piece
        self.inside = 0  # whether the next piece begins inside quotes
        self.previous = _NEWLINE  # last byte of the piece before
        self.size, self.last_end = 0, -1  # bytes so far; place of the last end of a record

    def add(self, data: Bytes) -> bool:
        """Take in the next piece; ``False`` if it is not plain."""
        outside = (
            _outside(data, self.inside, self.separator, self.previous) if self.quotes else np.ones(len(data), bool)
        )
        if outside is None or (data == 0).any() or self._lone_return(data):
            return False
        ends = np.flatnonzero((data == _NEWLINE) & outside)
        separators = np.flatnonzero((data == self.separator) & outside)
        before = np.searchsorted(separators, ends)
        fields = np.diff(before, prepend=-self.fields) + 1
        lengths = np.diff(ends + self.size, prepend=self.last_end)
        if (fields != self.n_fields).any() or (self.n_fields == 1 and (lengths <= 2).any()):
            return False
        self.records += len(ends)
        if len(ends):
            self.fields, self.last_end = len(separators) - int(before[-1]), int(ends[-1]) + self.size
        else:
            self.fields += len(separators)
        self.inside = (self.inside + int((data == _QUOTE).sum())) & int(self.quotes)
        self.size, self.previous = self.size + len(data), int(data[-1])
        return True

    def finish(self) -> int | None:
        """Number of records, or ``None`` if the end of the file is not plain."""
        if self.inside or self.previous == _RETURN:
            return None
        if self.previous == _NEWLINE:
            return self.records
        return self.records + 1 if self.fields + 1 == self.n_fields else None

    def _lone_return(self, data: Bytes) -> bool:
        returns = np.flatnonzero(data[:-1] == _RETURN)
        carried = self.previous == _RETURN and data[0] != _NEWLINE
        return bool(carried or (data[returns + 1] != _NEWLINE).any())


def _outside(data: Bytes, inside: int, separator: int, previous: int) -> npt.NDArray[np.bool_] | None:
    """Which bytes stand outside quotes; ``None`` if a quote opens in the middle of a field."""
    quotes = np.flatnonzero(data == _QUOTE)
    if len(quotes) == 0:
        return np.full(len(data), not inside)
    opening = quotes[inside::2]
    before = np.where(opening > 0, data[opening - 1], previous)
    if not np.isin(before, (separator, _NEWLINE, _RETURN, _QUOTE)).all():
        return None
    parity = np.zeros(len(data), np.uint8)
    parity[quotes] = 1
    even: npt.NDArray[np.bool_] = ((np.cumsum(parity, dtype=np.uint8) + inside) & 1) == 0
    return even


def _records(path: Path, dialect: Dialect) -> Iterator[tuple[int, str, bool]]:
    """Records as ``(number from 1, text, whether a quote is left open)``.

    A record goes on over lines while a quote is open. If what comes out has not the right number
    of fields, the quote was a stray one: its line is a record, and the next lines are looked at again.
    """
    number, is_open = 0, False
    held: list[str] = []
    pending: list[str] = []
    with dialect.lines(path) as file:
        while True:
            line = pending.pop() if pending else file.readline()
            if not line and not held:
                return
            if line:
                held.append(line)
                is_open ^= dialect.quotes and line.count('"') % 2 == 1
                if is_open and len(held) < _MAX_LINES:
                    continue
            number += 1
            stray = is_open or (len(held) > 1 and not dialect.fits("".join(held)))
            if stray:
                pending.extend(reversed(held[1:]))
            yield number, (held[0] if stray else "".join(held)).rstrip("\r\n"), stray
            held, is_open = [], False


def _read_records(path: Path, dialect: Dialect, audit: Audit) -> pl.DataFrame:
    """Slow and careful: parse one record at a time."""
    schema = {**dict.fromkeys(dialect.names, pl.String()), ROW: pl.UInt32()}
    parts = [pl.DataFrame(schema=schema)]
    good: list[list[str | int | None]] = []
    bad: dict[tuple[str, str], list[tuple[int, str]]] = {}
    blank = 0
    for number, text, stray in _records(path, dialect):
        row = number - int(dialect.has_header)
        if row == 0:
            continue
        if not text.strip("\x00"):
            blank += 1
            continue
        fields = dialect.fields(text, strict=stray)
        fault = _fault(text, fields, dialect)
        if fault is None and fields is not None:
            good.append([*(field or None for field in fields), row])
        elif fault is not None:
            bad.setdefault(fault, []).append((row, text.encode("utf-8", "replace").decode()))
        if len(good) == _BATCH:
            parts.append(pl.DataFrame(good, schema=schema, orient="row"))
            good = []
    for (reason, remedy), found in bad.items():
        rows, texts = zip(*found, strict=True)
        audit.reject(str(path), None, reason, remedy, pl.Series(rows), pl.Series(texts))
    if blank:
        audit.note(f"{path.name}: {blank} blank lines hold no data")
    return pl.concat([*parts, pl.DataFrame(good, schema=schema, orient="row")])


def _fault(text: str, fields: list[str] | None, dialect: Dialect) -> tuple[str, str] | None:
    if fields is None:
        return "a quote is opened and never closed", 'Close the quote, or write a quote inside a field as "".'
    if "\x00" in text:
        return "the line holds a NUL byte", "Remove it; the file may have been cut off or be binary."
    if dialect.garbled(text):
        return f"the line is not {dialect.encoding.upper()}", _CONVERT
    expected = len(dialect.names)
    if len(fields) != expected:
        what = "too few" if len(fields) < expected else "too many"
        return f"{what} fields: {len(fields)} instead of {expected}", "Quote fields that hold the separator."
    return None
