"""From a table as it was found to one row per event or thing, under the names of honeyguide."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.data.clean import guess_types, look_like_times, read_parts
from honeyguide.data.columns import ALIASES, RESERVED, match_columns
from honeyguide.data.expressions import condition
from honeyguide.data.readers import RawTable
from honeyguide.data.reading import Reading
from honeyguide.data.report import ROW, Audit
from honeyguide.data.spec import TIME_UNITS, Shape, TableSpec, parse_dtype

INTERACTION_COLUMNS = tuple(ALIASES)
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_UTC = pl.Datetime("us", "UTC")
_SEQUENCE = {"token_seq": pl.List(pl.String()), "float_seq": pl.List(pl.Float64())}


def prepare(
    raw: RawTable,
    spec: TableSpec,
    wanted: Sequence[str],
    explicit: Mapping[str, str],
    audit: Audit,
    remembered: Reading | None = None,
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Rename, filter, derive and unfold the columns of a table.

    Parameters
    ----------
    raw
        The table.
    spec
        What is declared of it.
    wanted
        Meanings to look for among its columns.
    explicit
        Meaning to column, from the caller; wins over ``spec.columns``.
    audit
        Is told what was guessed and left out.
    remembered
        How a table of this kind was read before; wins over guessing.

    Returns
    -------
    tuple
        The frame (with :data:`ROW`), and its names in the file to its names now.
    """
    derived = {*spec.constants, *spec.templates, *(["timestamp"] if spec.times else [])}
    if spec.shape is not None and spec.shape.history is None:
        derived.add("item_id")
    if spec.order == "rows":
        derived.add("position")
    mapping = {**spec.columns, **explicit}
    frame = _plain(raw.frame)
    names = [name for name in frame.columns if name != ROW]
    if remembered is not None:
        settled, claimed = {*mapping, *derived}, set(mapping.values())
        mapping = remembered.columns_in(names, settled, claimed, raw.file, audit) | mapping
    meanings = [m for m in wanted if m not in derived]
    renamed = match_columns(names, meanings, mapping, raw.file, audit, lambda name: look_like_times(frame[name]))
    listed = {spec.shape.items: "item_id"} if spec.shape is not None and spec.shape.items is not None else {}
    audit.names(raw.file, {**listed, **renamed})
    taken = set(renamed.values()) | derived
    for name in names:
        if name not in renamed and (name in taken or name in RESERVED):
            renamed[name] = f"{name}_raw"
    frame = _typed(frame.rename({k: v for k, v in renamed.items() if k != v}), spec, raw, wanted, audit)
    if spec.where is not None:
        kept = frame.filter(condition(spec.where, frame.schema, renamed, raw.file))
        audit.note(f"{raw.file}: {frame.height - kept.height:,} rows are not part of the data set ({spec.where})")
        frame = kept
    frame = _derive(frame, spec, renamed, raw.file)
    if spec.shape is not None:
        frame = _unfold(frame, spec.shape, spec, raw.file, audit)
    return frame, renamed


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """RecBole headers ``name:type`` to plain names, and rare types to common ones."""
    converted: list[pl.Expr] = []
    names = {}
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Categorical | pl.Enum):
            converted.append(pl.col(name).cast(pl.String))
        elif isinstance(dtype, pl.Datetime) and dtype != _UTC:
            utc = (
                pl.col(name).dt.convert_time_zone("UTC")
                if dtype.time_zone
                else pl.col(name).dt.replace_time_zone("UTC")
            )
            converted.append(utc.cast(_UTC))
        elif isinstance(dtype, pl.Decimal):
            converted.append(pl.col(name).cast(pl.Float64))
        bare, colon, kind = name.rpartition(":")
        if colon and kind in ("token", "float", *_SEQUENCE):
            names[name] = bare
            if kind in _SEQUENCE and frame[name].dtype == pl.String:
                converted.append(pl.col(name).str.split(" ").cast(_SEQUENCE[kind], strict=False))
    return frame.with_columns(converted).rename(names)


def _typed(frame: pl.DataFrame, spec: TableSpec, raw: RawTable, wanted: Sequence[str], audit: Audit) -> pl.DataFrame:
    for name, kind in spec.dtypes.items():
        if name not in frame.columns:
            continue
        values, dtype = frame[name], parse_dtype(kind)
        if values.dtype == dtype:
            continue
        if values.dtype == pl.String and isinstance(dtype, pl.List):
            cast = values.str.json_decode(dtype)
        elif values.dtype == pl.String and isinstance(dtype, pl.Datetime):
            cast = values.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", strict=False, time_unit="us")
        elif values.dtype == pl.String and dtype == pl.Date:
            cast = values.str.to_date("%Y-%m-%d", strict=False)
        elif values.dtype == pl.String and dtype == pl.Boolean:
            cast = values.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
        else:
            cast = values.cast(dtype, strict=False)
        bad = cast.is_null() & values.is_not_null()
        frame = audit.sift(frame, bad, raw.file, name, f"the value is not {kind}", "Correct it.")
        frame = frame.with_columns(cast.filter(~bad).alias(name))
    return frame if raw.typed else guess_types(frame, {*wanted, *spec.dtypes})


def _derive(frame: pl.DataFrame, spec: TableSpec, renamed: Mapping[str, str], file: str) -> pl.DataFrame:
    def column(name: str) -> pl.Expr:
        for candidate in (name, renamed.get(name, "")):
            if candidate in frame.columns:
                return pl.col(candidate)
        raise DataError(f"there is no column {name!r}.", f"Columns: {', '.join(frame.columns)}.", file=file)

    added = [pl.lit(value).alias(name) for name, value in spec.constants.items()]
    for name, template in spec.templates.items():
        pieces = [column(part) for part in _PLACEHOLDER.findall(template)]
        added.append(pl.format(_PLACEHOLDER.sub("{}", template), *pieces).alias(name))
    if spec.times:
        parts = [column(name).cast(pl.Int64) * TIME_UNITS[unit] for name, unit in spec.times.items()]
        added.append(pl.sum_horizontal(parts).cast(_UTC).alias("timestamp"))
    if spec.order == "rows":
        added.append(pl.col(ROW).cast(pl.Int64).alias("position"))
    return frame.with_columns(added)


def _unfold(frame: pl.DataFrame, shape: Shape, spec: TableSpec, file: str, audit: Audit) -> pl.DataFrame:
    lists = shape.history if shape.kind == "windows" and shape.history else shape.items
    if lists is None or lists not in frame.columns or not isinstance(frame[lists].dtype, pl.List):
        raise DataError(
            f"the shape {shape.kind!r} needs a column of lists, and {lists!r} is none.",
            "Correct [interactions.shape], or declare its type under dtypes.",
            file=file,
        )
    if shape.kind == "windows":
        events = _stitch(frame, shape, spec.split_values)
        whole = events.drop_nulls("split")
        if whole.height < events.height:
            left = f"{events.height - whole.height:,} items of histories come after a test target of their user"
            audit.note(f"{file}: {left}; they are neither history nor target and were left out")
        return whole
    full = frame.filter(pl.col(lists).list.len() > 0)
    if "position" not in full.columns and "timestamp" not in full.columns:
        full = full.with_columns(pl.int_ranges(pl.col(lists).list.len()).alias("position"))
        return full.explode(lists, "position", *shape.along).rename({lists: "item_id"})
    return full.explode(lists, *shape.along).rename({lists: "item_id"})


def _stitch(frame: pl.DataFrame, shape: Shape, split_values: Mapping[str, str]) -> pl.DataFrame:
    """Put the sequences together of which the rows are overlapping windows.

    A window adds the items after its longest overlap with what its user did so far. The last item
    has the part of the window; one that no window ends with has the part that its user has
    reached, and none (null) once that is test: it is no target, and no history may hold it.
    """
    if shape.history is not None:
        target = pl.col("item_id").reshape((-1, 1)).arr.to_list()
        frame = frame.with_columns(pl.concat_list(shape.history, target).alias("__items"))
    else:
        frame = frame.rename({str(shape.items): "__items"})
    if "timestamp" in frame.columns:
        frame = frame.sort("timestamp", maintain_order=True)
    if "split" not in frame.columns:
        frame = frame.with_columns(pl.lit("train").alias("split"))
    reached = read_parts(frame["split"], split_values).replace({"test": None}).to_list()
    windows = frame.select("user_id", "__items", "split", ROW, *shape.along).iter_rows()
    sequences: dict[object, list[object]] = {}
    between: dict[object, str | None] = {}
    events: list[tuple[object, ...]] = []
    for part_reached, (user, window, split, row, *along) in zip(reached, windows, strict=True):
        so_far = sequences.setdefault(user, [])
        new = next(n for n in range(1, len(window) + 1) if n == len(window) or _ends_with(so_far, window[:-n]))
        for at in range(len(window) - new, len(window)):
            part = split if at == len(window) - 1 else between.get(user, "train")
            events.append((user, window[at], len(so_far), part, row, *(values[at] for values in along)))
            so_far.append(window[at])
        between[user] = part_reached
    types = {
        "user_id": frame["user_id"].dtype,
        "item_id": _inner(frame["__items"]),
        "position": pl.Int64(),
        "split": pl.String(),
        ROW: frame[ROW].dtype,
    }
    return pl.DataFrame(events, {**types, **{name: _inner(frame[name]) for name in shape.along}}, orient="row")


def _inner(lists: pl.Series) -> pl.DataType:
    dtype = lists.dtype
    assert isinstance(dtype, pl.List)
    return pl.List(dtype.inner).inner  # type: ignore[return-value]


def _ends_with(sequence: list[object], tail: list[object]) -> bool:
    return len(tail) <= len(sequence) and sequence[len(sequence) - len(tail) :] == tail
