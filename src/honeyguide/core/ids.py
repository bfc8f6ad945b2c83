"""External ids (numbers or strings) and the integer codes that stand for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import IntArray

_FEW = 256  # up to so many ids are looked up one by one: a request must not pay for a join


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
        self._table: pl.DataFrame | None = None
        self._index: dict[object, int] | None = None

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
        if not isinstance(ids, pl.Series):
            plain = [_plain(i, self.dtype) for i in ids]
            if len(plain) <= _FEW:
                return self._encode_few(plain)
            ids = pl.Series("id", plain, self.dtype)
        if self._table is None:
            self._table = pl.DataFrame({"id": self.values, "code": np.arange(len(self), dtype=np.int32)})
        frame = ids.alias("id").cast(self.dtype, strict=False).to_frame()
        joined = frame.join(self._table, on="id", how="left", maintain_order="left")
        return joined["code"].fill_null(-1).to_numpy().astype(np.int32, copy=True)

    def _encode_few(self, ids: Sequence[object]) -> IntArray:
        if self._index is None:
            self._index = {value: code for code, value in enumerate(self.values.to_list())}
        index = self._index
        return np.fromiter((index.get(i, -1) for i in ids), np.int32, len(ids))

    def decode(self, codes: IntArray) -> pl.Series:
        """External ids of ``codes`` (any shape is flattened); null where a code is -1."""
        flat = np.asarray(codes).ravel()
        known = pl.Series("code", np.where(flat < 0, 0, flat))
        if len(self) == 0:
            return pl.Series("id", [None] * len(flat), self.dtype)
        return pl.select(pl.when(pl.Series(flat >= 0)).then(self.values.gather(known)).alias("id"))["id"]

    def append(self, ids: pl.Series) -> Ids:
        """A map in which every old id keeps its code and new ids follow in sorted order.

        Raises
        ------
        DataError
            If ids are missing, or are words where the others are numbers.
        """
        kept = ids.cast(self.dtype, strict=False)
        if kept.null_count():
            bad = ids.filter(kept.is_null())[0]
            raise DataError(f"{bad!r} cannot be an id beside {self.dtype} ids.", "Use ids of the same kind.")
        ids = kept.unique()
        new = ids.filter(~ids.is_in(self.values.implode())).sort()
        return Ids(pl.concat([self.values, new.alias("id")]))


def _plain(value: object, dtype: pl.DataType) -> object:
    if dtype == pl.String:
        return str(value)
    try:
        return int(str(value))
    except ValueError:
        return None


def with_new_items(known: Ids, items: pl.DataFrame) -> tuple[Ids, pl.DataFrame]:
    """``known`` with the ids of ``items`` behind them, and ``items`` in the order of their codes.

    Raises
    ------
    DataError
        If there is no column ``item_id``, or an id is missing, repeats, is of another kind or is known already.
    """
    if "item_id" not in items.columns:
        raise DataError(
            "the new items have no column 'item_id'.", f"Columns: {', '.join(items.columns)}.", column="item_id"
        )
    ids = items["item_id"]
    repeated = ids.filter(ids.is_duplicated())
    if len(repeated):
        raise DataError(f"the new items have {repeated[0]!r} twice.", "Give one row per item.", column="item_id")
    grown = known.append(ids)
    codes = grown.encode(ids)
    old = ids.filter(pl.Series(codes < len(known), dtype=pl.Boolean))
    if len(old):
        raise DataError(
            f"the item {old[0]!r} is known already{f', and {len(old) - 1} more' if len(old) > 1 else ''}.",
            "Leave out items that are in the catalogue; to change one, fit the model again.",
        )
    return grown, items[np.argsort(codes)].with_columns(pl.col("item_id").cast(known.dtype))


def table_of_items(table: pl.DataFrame, ids: Ids) -> pl.DataFrame:
    """``table`` with its column ``item_id`` of the kind of ``ids``.

    Raises
    ------
    DataError
        If there is no such column, or an id is missing, repeats or is of another kind.
    """
    if "item_id" not in table.columns:
        raise DataError(
            "the table of items has no column 'item_id'.", f"Columns: {', '.join(table.columns)}.", column="item_id"
        )
    cast = table["item_id"].cast(ids.dtype, strict=False)
    wrong = table["item_id"].filter(cast.is_null() | cast.is_duplicated())
    if len(wrong):
        raise DataError(
            f"the table of items has the id {wrong[0]!r} twice, or it cannot be an id beside {ids.dtype} ids.",
            "Give one row per item, with ids of the same kind.",
            column="item_id",
        )
    return table.with_columns(cast)
