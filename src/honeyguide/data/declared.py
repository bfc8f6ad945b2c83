"""What is declared of events: which count, how strongly, and in which order they happened."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.data.columns import naming
from honeyguide.data.expressions import column_of, condition
from honeyguide.data.reading import Reading
from honeyguide.data.report import Audit

_MOSTLY = 0.5
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def with_positives(
    frame: pl.DataFrame,
    rule: str | None,
    remembered: Reading | None,
    renamed: Mapping[str, str],
    file: str,
    audit: Audit,
) -> tuple[pl.DataFrame, str | None]:
    """The events with a column ``positive`` where not all of them count, and the rule that says so.

    Parameters
    ----------
    frame
        Events; a column ``positive`` of theirs may say it.
    rule
        Condition under which an event counts, ``""`` for all; ``None`` where nothing is said.
    remembered
        Has the rule of before, which holds where nothing is said and its columns are there.
    renamed
        Names that columns had in the file, to their names in the frame.
    file, audit
        For messages.

    Raises
    ------
    ConfigError, DataError
        If the rule is no condition, or names a column that is not there.
    """
    before = remembered.positive if rule is None and remembered is not None else None
    if "positive" in frame.columns:
        frame, before = frame.with_columns(_boolean(frame["positive"], file, audit)), None
    if not rule and not before:
        return frame, None
    meanings = {name: m for m, name in remembered.columns.items()} if before and remembered else {}
    names = {**meanings, **renamed}
    try:
        counts = condition(rule or before or "", frame.schema, names, file)
    except DataError as error:
        if not before or error.column is None or column_of(error.column, frame.schema, names) is not None:
            raise
        lacking = f"has no column {error.column}, by which events counted in the data of the fit ({before})"
        audit.note(f"{file}: {lacking}; every event counts")
        return frame, None
    if before:
        audit.note(f"{file}: events count where {before}, as in the data of the fit")
    return frame.with_columns(counts.alias("positive")), rule or before


def with_weights(frame: pl.DataFrame, weights: Mapping[str, float] | None, file: str, audit: Audit) -> pl.DataFrame:
    """The events with the weight of their kind; those whose kind has none are set aside.

    Raises
    ------
    DataError
        If there are weights and events have no kind.
    """
    if not weights:
        return frame
    if "event" not in frame.columns:
        raise DataError("weights by event need a column event.", f"Name it: {naming('event')}.", file=file)
    known = frame["event"].replace_strict(dict(weights), default=None, return_dtype=pl.Float32)
    remedy = f"Give it a weight; there are weights for {', '.join(weights)}."
    frame = audit.sift(frame, known.is_null(), file, "event", "the event has no weight", remedy)
    return frame.with_columns(known.drop_nulls().alias("weight"))


def settle_order(frame: pl.DataFrame, file: str, audit: Audit) -> pl.DataFrame:
    """Make sure that whatever orders the events is known for all of them.

    Complete times order the events; else complete positions do; else a few rows without a time
    are set aside, and where most have none the data has no order.
    """
    complete = [c for c in ("timestamp", "position") if c in frame.columns and frame[c].null_count() == 0]
    if complete:
        if "timestamp" in frame.columns and complete[0] == "position":
            share = frame["timestamp"].null_count() / frame.height
            audit.note(f"{file}: {share:.0%} of the times are missing, so events are ordered by position")
        return frame
    for column in (c for c in ("timestamp", "position") if c in frame.columns):
        missing, called = frame[column].is_null(), audit.called(file, column)
        if missing.mean() <= _MOSTLY:  # type: ignore[operator]
            remedy = f"Fill in {called}, or leave out the column if order does not matter."
            return audit.sift(frame, missing, file, column, f"{called} is missing, so its order is unknown", remedy)
        audit.note(f"{file}: most rows have no {called}, so it does not order the events")
    audit.note(
        f"{file}: the events have no order, for there are no times; if the rows of a user stand in the order in which "
        "things happened, say so with --in-order (order='rows' in Python)"
    )
    return frame


def _boolean(column: pl.Series, file: str, audit: Audit) -> pl.Series:
    if column.dtype == pl.String:
        column = column.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    if column.dtype.is_nested() or column.dtype.is_temporal() or column.null_count():
        called = audit.called(file, "positive")
        raise audit.fault(f"{called} must be true or false in every row.", "Correct it.", file, "positive")
    return column.cast(pl.Boolean)
