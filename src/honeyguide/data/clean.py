"""Values to what they mean: ids, times, numbers and parts; what cannot be understood is set aside."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from honeyguide.data.columns import naming
from honeyguide.data.report import ROW, Audit
from honeyguide.data.spec import TIME_UNITS, IdKind

_WHOLE = r"^-?(0|[1-9]\d{0,17})$"
_WHOLE_OR_POINT_ZERO = r"^-?(0|[1-9]\d{0,17})(\.0+)?$"
_TEXT = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
_TEXTS = rf"^\[\s*(?:{_TEXT}(?:\s*,\s*{_TEXT})*)?\s*\]$"  # a JSON list of texts
_REAL = r"^[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?$"
_MISSING = ("", "nan", "na", "n/a", "null", "none", "\\n")
_TIME_FORMATS = (
    *("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%#z"),
    *("%Y-%m-%d %H:%M:%S%.f UTC", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d"),
)
_UTC = pl.Datetime("us", "UTC")
_PARTS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
# A number of seconds, milliseconds, microseconds or nanoseconds since 1970 is told by its size:
# as seconds, 1e11 is the year 5138; as milliseconds, 1973.
_LIMITS = np.array([1e11, 1e14, 1e17])
_NAMES = ("seconds", "milliseconds", "microseconds", "nanoseconds")
_TO_MICROSECONDS = np.array([1e6, 1e3, 1.0, 1e-3])
_MIN_SECONDS = 1e8  # 1973
_LOOKED_AT = 1_000  # values of a column by which it is seen whether it holds times
_MAX_SECONDS = 253402300799  # the end of the year 9999


def clean_ids(
    frame: pl.DataFrame, column: str, file: str, typed: bool, kind: IdKind | None, audit: Audit
) -> pl.DataFrame:
    """Ids as Int64 or String: trimmed, Unicode in NFC, rows without an id set aside.

    Text that reads as whole numbers throughout (without leading zeros) becomes numbers if the
    source knows no types; ``42.0`` is then 42. A typed source keeps text as text.

    Parameters
    ----------
    frame
        Rows with :data:`ROW`.
    column
        ``user_id`` or ``item_id``.
    file, audit
        For messages.
    typed
        Whether the source knows types.
    kind
        The type of the ids, where it is declared.

    Raises
    ------
    DataError
        If the column holds neither numbers nor text.
    """
    raw = frame[column]
    if isinstance(raw.dtype, pl.Categorical | pl.Enum) or raw.dtype == pl.Null:
        raw = raw.cast(pl.String)
    if raw.dtype.is_float() or raw.dtype.is_decimal():
        ids = _whole(raw, column, file, audit)
    elif raw.dtype.is_integer():
        ids = raw.cast(pl.Int64, strict=False)
    elif raw.dtype == pl.String:
        ids = _text_ids(raw, column, file, kind == "int" or (kind is None and not typed), audit)
    else:
        remedy = f"Convert the column, or name another: {naming(column)}."
        raise audit.fault(f"ids must be numbers or text, not {raw.dtype}.", remedy, file, column)
    if kind == "string" and ids.dtype != pl.String:
        ids = ids.cast(pl.String)
    if kind == "int" and ids.dtype == pl.String:
        ids = ids.cast(pl.Int64, strict=False)
    bad = ids.is_null()
    if not bad.any():
        return frame.with_columns(ids.alias(column))
    called = audit.called(file, column)
    missing = bad & (raw.is_null() if raw.dtype != pl.String else raw.fill_null("").str.strip_chars() == "")
    kept = audit.sift(frame, missing, file, column, f"{called} is missing", "Fill it in, or remove the row.")
    odd = (bad & ~missing).filter(~missing)
    kept = audit.sift(kept, odd, file, column, f"{called} is not a usable id", "Use a whole number or plain text.")
    return kept.with_columns(ids.filter(~bad).alias(column))


def _whole(raw: pl.Series, column: str, file: str, audit: Audit) -> pl.Series:
    real = raw.cast(pl.Float64)
    whole = real.is_finite() & (real == real.round()) & (real.abs() < 2.0**53)
    audit.note(f"{file}: {audit.called(file, column)} holds fractions such as 42.0; they were read as whole numbers")
    return pl.select(pl.when(whole).then(real).cast(pl.Int64)).to_series()


def _text_ids(raw: pl.Series, column: str, file: str, may_be_numbers: bool, audit: Audit) -> pl.Series:
    distinct, called = raw.unique().drop_nulls(), audit.called(file, column)
    clean = distinct.str.strip_chars().str.normalize("NFC")
    clean = pl.select(pl.when((clean != "") & ~clean.str.contains("\x00", literal=True)).then(clean)).to_series()
    if may_be_numbers and len(clean.drop_nulls()):
        if clean.drop_nulls().str.contains(_WHOLE).all():
            clean = clean.cast(pl.Int64)
        elif clean.drop_nulls().str.contains(_WHOLE_OR_POINT_ZERO).all():
            audit.note(f"{file}: {called} holds fractions such as 42.0; they were read as whole numbers")
            clean = clean.str.replace(r"\.0+$", "").cast(pl.Int64)
    merged = len(clean.drop_nulls()) - clean.drop_nulls().n_unique()
    if merged:
        audit.note(
            f"{file}: {merged} spellings of {called} differ only by spaces, Unicode form (NFC, NFD) or '.0' "
            "and were read as the same id"
        )
    if clean.dtype == pl.String and clean.null_count() == 0 and (clean == distinct).all():
        return raw
    return raw.replace_strict(distinct, clean, default=None, return_dtype=clean.dtype)


def clean_numbers(frame: pl.DataFrame, column: str, file: str, dtype: pl.DataType, audit: Audit) -> pl.DataFrame:
    """A numeric column; rows whose value is not a number are set aside, missing values stay null."""
    raw, called = frame[column], audit.called(file, column)
    if raw.dtype.is_nested() or raw.dtype.is_temporal():
        raise audit.fault(
            f"{called} must be a number, not {raw.dtype}.", f"Name another: {naming(column)}.", file, column
        )
    if raw.dtype in (pl.String, pl.Categorical):
        raw = _missing_as_null(raw.cast(pl.String))
    numbers = raw.cast(pl.Float64, strict=False)
    if numbers.is_nan().any():
        numbers = numbers.fill_nan(None)
        if raw.dtype.is_float():
            raw = raw.fill_nan(None)
    numbers = numbers.cast(dtype)
    bad = (numbers.is_null() & raw.is_not_null()) | numbers.is_infinite().fill_null(False)
    kept = audit.sift(frame, bad, file, column, f"{called} is not a number", "Correct the value or leave it empty.")
    return kept.with_columns(numbers.filter(~bad).alias(column))


def clean_positions(frame: pl.DataFrame, file: str, audit: Audit) -> pl.DataFrame:
    """``position`` as Int64 where all are whole numbers, as Float64 otherwise; missing ones stay null."""
    if frame["position"].dtype.is_integer():
        return frame.with_columns(pl.col("position").cast(pl.Int64, strict=False))
    frame = clean_numbers(frame, "position", file, pl.Float64(), audit)
    exact = ((pl.col("position") == pl.col("position").round()) & (pl.col("position").abs() < 2.0**53)).all()
    return frame.with_columns(pl.col("position").cast(pl.Int64)) if frame.select(exact).item() else frame


def clean_weights(frame: pl.DataFrame, file: str, audit: Audit) -> pl.DataFrame:
    """Weights as Float32; missing, NaN, infinite and negative ones are set aside."""
    frame = clean_numbers(frame, "weight", file, pl.Float32(), audit)
    bad = frame["weight"].is_null() | (frame["weight"] < 0).fill_null(False)
    remedy, called = "Give every event a weight of 0 or more.", audit.called(file, "weight")
    return audit.sift(frame, bad, file, "weight", f"{called} is missing or negative", remedy)


def look_like_times(values: pl.Series) -> bool:
    """Whether most of the first values can be read as times: dates, text in ISO 8601, numbers of seconds or finer."""
    some = values.drop_nulls().head(_LOOKED_AT)
    if isinstance(some.dtype, pl.Date | pl.Datetime):
        return True
    if some.dtype == pl.String:
        text = some.str.strip_chars()
        numbers = text.cast(pl.Float64, strict=False)
        some = numbers if 2 * numbers.null_count() <= len(text) else text
    if some.dtype.is_numeric():
        return 2 * int((some.cast(pl.Float64) >= _MIN_SECONDS).sum()) > len(some)
    if some.dtype != pl.String:
        return False
    return 2 * int(_parsed(some).is_not_null().sum()) > len(some)


def clean_times(frame: pl.DataFrame, file: str, unit: str | None, audit: Audit) -> pl.DataFrame:
    """``timestamp`` as microseconds UTC; rows whose time cannot be read are set aside, missing ones stay null."""
    raw = frame["timestamp"]
    if raw.dtype in (pl.String, pl.Categorical):
        raw = _missing_as_null(raw.cast(pl.String))
        numbers = raw.str.strip_chars().cast(pl.Float64, strict=False)
        if numbers.null_count() * 2 > len(raw) + raw.null_count():
            return _parse_times(frame, raw, file, audit)
        unreadable = numbers.is_null() & raw.is_not_null()
        remedy = "Write a number like the other rows, or ISO 8601 throughout."
        frame = audit.sift(frame, unreadable, file, "timestamp", "the time is not a number", remedy)
        raw = raw.filter(~unreadable)
        whole = raw.str.strip_chars().cast(pl.Int64, strict=False)
        raw = whole if whole.null_count() == raw.null_count() else numbers.filter(~unreadable)
    if raw.dtype == pl.Date:
        raw = raw.cast(pl.Datetime("us"))
    if isinstance(raw.dtype, pl.Datetime):
        zoned = raw.dt.convert_time_zone("UTC") if raw.dtype.time_zone else raw.dt.replace_time_zone("UTC")
        return frame.with_columns(zoned.cast(_UTC).alias("timestamp"))
    if not raw.dtype.is_numeric():
        use = "Use ISO 8601 text or a number of seconds since 1970"
        remedy = f"{use}, or name another column: {naming('timestamp')}."
        raise audit.fault(f"a time cannot be {raw.dtype}.", remedy, file, "timestamp")
    return _scale_times(frame, raw, file, unit, audit)


def _parse_times(frame: pl.DataFrame, raw: pl.Series, file: str, audit: Audit) -> pl.DataFrame:
    text = raw.str.strip_chars()
    parsed = _parsed(text)
    bad = parsed.is_null() & text.is_not_null()
    remedy = "Write times as 2024-05-31T18:00:00Z (ISO 8601) or as seconds since 1970."
    kept = audit.sift(frame, bad, file, "timestamp", "the time cannot be read", remedy)
    return kept.with_columns(parsed.filter(~bad).alias("timestamp"))


def _parsed(text: pl.Series) -> pl.Series:
    """Times in any of the formats that are read; null where a text is in none of them."""
    parsed = pl.Series("timestamp", [None] * len(text), dtype=_UTC)
    for pattern in _TIME_FORMATS:
        if (parsed.is_null() & text.is_not_null()).any():
            found = text.str.to_datetime(pattern, strict=False, time_unit="us")
            found = found if found.dtype == _UTC else found.dt.replace_time_zone("UTC")
            parsed = parsed.zip_with(parsed.is_not_null(), found)
    return parsed


def _scale_times(frame: pl.DataFrame, raw: pl.Series, file: str, unit: str | None, audit: Audit) -> pl.DataFrame:
    if raw.dtype.is_float():
        raw = raw.fill_nan(None)
    numbers = raw.cast(pl.Float64).fill_null(0).to_numpy()
    kinds = np.searchsorted(_LIMITS, np.abs(numbers), side="right")
    if unit is not None:
        factor, odd = float(TIME_UNITS[unit]), np.zeros(len(numbers), bool)
    else:
        present = kinds[raw.is_not_null().to_numpy()]
        kind = int(np.bincount(present, minlength=4).argmax()) if len(present) else 0
        factor, odd = float(_TO_MICROSECONDS[kind]), (kinds != kind) & raw.is_not_null().to_numpy()
        if kind:
            audit.note(f"{file}: times were read as {_NAMES[kind]} since 1970")
        elif len(present) and np.abs(numbers).max() < _MIN_SECONDS:
            audit.note(f"{file}: times are small numbers; as seconds since 1970 they order events and no more")
        for other in np.unique(kinds[odd]):
            reason = f"the time is in {_NAMES[other]} where most are in {_NAMES[kind]}"
            mask = pl.Series(odd & (kinds == other))
            rejected = frame.filter(mask)
            remedy = f"Write all times in {_NAMES[kind]}."
            audit.reject(file, "timestamp", reason, remedy, rejected[ROW], rejected["timestamp"])
    beyond = ~odd & (np.abs(numbers) * factor > _MAX_SECONDS * 1e6)
    late = frame.filter(pl.Series(beyond))
    audit.reject(file, "timestamp", "the time is after the year 9999", "Correct it.", late[ROW], late["timestamp"])
    keep = pl.Series(~odd & ~beyond)
    kept = raw.filter(keep)
    exact = kept.cast(pl.Int64) * int(factor) if kept.dtype.is_integer() and factor >= 1 else (kept * factor).round()
    return frame.filter(keep).with_columns(exact.cast(pl.Int64).cast(_UTC).alias("timestamp"))


def clean_events(frame: pl.DataFrame, file: str, audit: Audit) -> pl.DataFrame:
    """``event`` as text."""
    return frame.with_columns(_plain_text(frame, "event", file, audit))


def clean_split(frame: pl.DataFrame, file: str, names: Mapping[str, str], audit: Audit) -> pl.DataFrame:
    """``split`` as ``train``, ``valid`` or ``test``; other values are set aside."""
    parts = read_parts(_plain_text(frame, "split", file, audit), names)
    bad = parts.is_null()
    remedy = "Use train, valid or test, or map the value under split_values in dataset.toml."
    kept = audit.sift(frame, bad, file, "split", "the part of the split is unknown", remedy)
    return kept.with_columns(parts.filter(~bad).alias("split"))


def read_parts(values: pl.Series, names: Mapping[str, str]) -> pl.Series:
    """``train``, ``valid`` or ``test`` for what a file calls them; null where that is unknown."""
    text = values.cast(pl.String)
    plain = text.str.strip_chars().str.to_lowercase()
    parts = plain.replace_strict(_PARTS, default=None, return_dtype=pl.String)
    if not names:
        return parts
    mapped = text.replace_strict(dict(names), default=None, return_dtype=pl.String)
    return mapped.zip_with(mapped.is_not_null(), parts)


def guess_types(frame: pl.DataFrame, skip: set[str]) -> pl.DataFrame:
    """Text columns of numbers alone as numbers (leading zeros stay text), and those of JSON lists of texts as lists."""
    columns = []
    for name in frame.columns:
        if name in skip or frame[name].dtype != pl.String:
            continue
        values = frame[name].drop_nulls()
        if len(values) and values.head(1000).str.contains(_TEXTS).all() and values.str.contains(_TEXTS).all():
            columns.append(pl.col(name).str.json_decode(pl.List(pl.String)))
        if len(values) == 0 or not values.head(1000).str.contains(_REAL).all():
            continue
        if values.str.contains(_WHOLE).all():
            columns.append(pl.col(name).cast(pl.Int64))
        elif values.str.contains(_REAL).all():
            columns.append(pl.col(name).cast(pl.Float64))
    return frame.with_columns(columns)


def _plain_text(frame: pl.DataFrame, column: str, file: str, audit: Audit) -> pl.Series:
    values = frame[column]
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        called = audit.called(file, column)
        raise audit.fault(
            f"{called} must be text, not {values.dtype}.", f"Name another: {naming(column)}.", file, column
        )
    return values.cast(pl.String)


def _missing_as_null(text: pl.Series) -> pl.Series:
    missing = text.str.strip_chars().str.to_lowercase().is_in(_MISSING)
    return text if not missing.any() else pl.select(pl.when(~missing).then(text)).to_series()
