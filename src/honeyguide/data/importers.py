"""Data that is in memory already: sparse matrices and data frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.load import ReadOptions, load_data


def from_frame(frame: Any, **options: Unpack[ReadOptions]) -> Dataset:
    """A data set from a polars or pandas frame of interactions (or anything Arrow understands).

    Parameters
    ----------
    frame
        One row per event; columns are guessed as for files.
    **options
        See :class:`~honeyguide.data.load.ReadOptions`; ``items`` and ``users`` may be polars frames.

    Raises
    ------
    DataError
        If it is no frame, or columns are missing.
    """
    return load_data(_polars(frame), **options)


def from_csr(
    matrix: sp.spmatrix | sp.sparray,
    user_ids: Sequence[object] | npt.NDArray[Any] | pl.Series | None = None,
    item_ids: Sequence[object] | npt.NDArray[Any] | pl.Series | None = None,
    *,
    timestamps: sp.spmatrix | sp.sparray | None = None,
    name: str = "matrix",
) -> Dataset:
    """A data set from a sparse user-item matrix ``[n_users, n_items]``; stored values are weights.

    Users and items without an entry are part of the data set; explicit zeros are not events. Where
    every value is 1 there is no column ``weight``.

    Parameters
    ----------
    matrix
        Any scipy sparse matrix; duplicate entries are summed.
    user_ids, item_ids
        External ids of rows and columns; by default their numbers.
    timestamps
        A matrix with the same entries, holding times (seconds, milliseconds or microseconds since 1970).
    name
        For reports.

    Raises
    ------
    DataError
        If ids do not fit the shape, or the entries of ``timestamps`` are others.
    """
    entries = sp.coo_array(sp.csr_array(matrix))
    entries.eliminate_zeros()
    users = _labels("user", user_ids, entries.shape[0])
    items = _labels("item", item_ids, entries.shape[1])
    rows, columns = entries.coords
    frame = pl.DataFrame({"user_id": users.gather(rows), "item_id": items.gather(columns)})
    if len(entries.data) and not (entries.data == 1).all():
        frame = frame.with_columns(pl.Series("weight", entries.data.astype(np.float32)))
    if timestamps is not None:
        times = sp.csr_array(timestamps)
        values = np.asarray(times[rows, columns]).ravel()
        if times.shape != entries.shape or times.nnz != len(rows) or not (values != 0).all():
            raise DataError("timestamps has other entries than the matrix.", "Store a time for every entry.")
        frame = frame.with_columns(pl.Series("timestamp", values.astype(np.int64)))
    tables = {"items": items.alias("item_id").to_frame(), "users": users.alias("user_id").to_frame()}
    return load_data(frame, name=name, items=tables["items"], users=tables["users"])


def _labels(what: str, given: Sequence[object] | npt.NDArray[Any] | pl.Series | None, n: int) -> pl.Series:
    labels = pl.Series(np.arange(n)) if given is None else pl.Series(given)
    if len(labels) != n:
        raise DataError(f"there are {len(labels)} {what} ids for a matrix with {n}.", "Pass one for each.")
    return labels


def _polars(frame: Any) -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect(engine="streaming")
    try:
        if _is_pandas(frame):
            return pl.DataFrame([_from_pandas(str(name), frame[name].to_numpy()) for name in frame.columns])
        return pl.DataFrame(frame)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"a {type(frame).__name__} is no frame of interactions: {error}.", "Pass a frame.") from error


def _from_pandas(name: str, values: npt.NDArray[Any]) -> pl.Series:
    """Column by column, because the conversion of whole frames needs pyarrow."""
    if values.dtype == object:
        return pl.Series(name, [None if value is None or value != value else value for value in values])
    return pl.Series(name, values)


def _is_pandas(frame: Any) -> bool:
    return type(frame).__module__.partition(".")[0] == "pandas"
