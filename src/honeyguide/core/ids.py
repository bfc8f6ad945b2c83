"""External ids (numbers or strings) and the integer codes that stand for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import IntArray


class Ids:
    """A one-to-one map between external ids and codes ``0 .. n-1``; codes are only ever appended.

    Parameters
    ----------
    values
        Unique external ids, Int64 or String; the code of an id is its position.

    Raises
    ------
    DataError
        If ids repeat, are null, or are neither integers nor strings.
    """

    def __init__(self, values: pl.Series) -> None:
        if values.dtype.is_integer():
            values = values.cast(pl.Int64)
        elif values.dtype != pl.String:
            raise DataError(
                f"ids must be whole numbers or strings, not {values.dtype}.",
                "Convert the id column to one of the two.",
            )
        if values.null_count() or values.n_unique() != len(values):
            raise DataError("ids must be unique and not null.", "Remove repeated or empty ids.")
        self.values = values.alias("id").rechunk()
        self._codes: pl.DataFrame | None = None

    @classmethod
    def of(cls, *columns: pl.Series) -> Ids:
        """Ids of all distinct values in ``columns``, in sorted order (so row order does not matter)."""
        same = {c.dtype.is_integer() for c in columns} == {True}
        kind = pl.Int64 if same else pl.String
        return cls(pl.concat([c.cast(kind).alias("id") for c in columns]).unique().sort())

    def __len__(self) -> int:
        return len(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ids) and self.values.equals(other.values)

    __hash__ = None  # type: ignore[assignment]

    @property
    def dtype(self) -> pl.DataType:
        """Int64 or String."""
        return self.values.dtype

    def encode(self, ids: pl.Series | Sequence[object]) -> IntArray:
        """int32 codes of external ids; -1 where an id is unknown.

        Ids of the other type are converted where that is unambiguous (``"42"`` for 42).
        """
        series = (
            ids if isinstance(ids, pl.Series) else pl.Series("id", [_plain(i, self.dtype) for i in ids], self.dtype)
        )
        if self._codes is None:
            self._codes = pl.DataFrame({"id": self.values, "code": np.arange(len(self), dtype=np.int32)})
        frame = series.alias("id").cast(self.dtype, strict=False).to_frame()
        joined = frame.join(self._codes, on="id", how="left", maintain_order="left")
        return joined["code"].fill_null(-1).to_numpy().astype(np.int32, copy=True)

    def decode(self, codes: IntArray) -> pl.Series:
        """External ids of ``codes`` (any shape is flattened); null where a code is -1."""
        flat = np.asarray(codes).ravel()
        known = pl.Series("code", np.where(flat < 0, 0, flat))
        if len(self) == 0:
            return pl.Series("id", [None] * len(flat), self.dtype)
        return pl.select(pl.when(pl.Series(flat >= 0)).then(self.values.gather(known)).alias("id"))["id"]

    def append(self, ids: pl.Series) -> Ids:
        """A map in which every old id keeps its code and new ids follow in sorted order."""
        ids = ids.cast(self.dtype).unique()
        new = ids.filter(~ids.is_in(self.values.implode())).sort()
        return Ids(pl.concat([self.values, new.alias("id")]))


def _plain(value: object, dtype: pl.DataType) -> object:
    if dtype == pl.String:
        return str(value)
    try:
        return int(str(value))
    except ValueError:
        return None
