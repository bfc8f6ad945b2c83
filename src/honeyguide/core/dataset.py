"""The immutable data set that every model is fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl
import scipy.sparse as sp

from honeyguide.core.errors import DataError
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, IntArray, Ragged, TimeArray

PARTS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions and what is known of users and items; build it with :mod:`honeyguide.data`.

    Parameters
    ----------
    name
        For reports.
    interactions
        One row per event, sorted by user and then by time (``timestamp`` where every event has one,
        else ``position``, else the order of the file). Columns ``user`` and ``item`` (int32 codes), then any of
        ``timestamp`` (Datetime, microseconds, UTC), ``position``, ``label`` (Float64, for example a
        rating), ``positive`` (Boolean), ``event``, ``weight`` (Float32), ``group_id``,
        ``query_id``, ``split`` (``train``, ``valid`` or ``test``), and columns carried along.
    user_ids, item_ids
        External ids; a code is a position in them. They hold every user and item of the
        interactions and of the tables below.
    items, users
        One row per code, in code order, first column ``item_id`` / ``user_id``; nulls where a
        code has no features.
    extras
        Further tables by name: ``impressions, queries, reviews, relations, dialogues``.
    ordered
        Whether the order within a user means something (there was a time or a position).
    """

    name: str
    interactions: pl.DataFrame
    user_ids: Ids
    item_ids: Ids
    items: pl.DataFrame
    users: pl.DataFrame
    extras: dict[str, pl.DataFrame] = field(default_factory=dict)
    ordered: bool = True

    @property
    def n_users(self) -> int:
        """Number of user codes."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of item codes."""
        return len(self.item_ids)

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {self.interactions.height:,} interactions, "
            f"{self.n_users:,} users, {self.n_items:,} items, parts={list(self.parts)})"
        )

    def equals(self, other: Dataset) -> bool:
        """Whether ids, tables and order are the same; names may differ."""
        tables = ("interactions", "items", "users")
        return (
            self.user_ids == other.user_ids
            and self.item_ids == other.item_ids
            and self.ordered == other.ordered
            and all(getattr(self, table).equals(getattr(other, table)) for table in tables)
            and self.extras.keys() == other.extras.keys()
            and all(frame.equals(other.extras[name]) for name, frame in self.extras.items())
        )

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts present, in the order train, valid, test; without a split, ``("train",)``."""
        if "split" not in self.interactions.columns:
            return ("train",)
        present = set(self.interactions["split"].unique().to_list())
        return tuple(p for p in PARTS if p in present)

    def select(self, *parts: str) -> Dataset:
        """The same data set with only the interactions of ``parts``; ids and tables stay whole."""
        unknown = set(parts) - set(PARTS)
        if unknown:
            raise DataError(f"there is no part {sorted(unknown)[0]!r}.", f"Parts are {', '.join(PARTS)}.")
        if "split" not in self.interactions.columns:
            return self if "train" in parts else replace(self, interactions=self.interactions.clear())
        return replace(self, interactions=self.interactions.filter(pl.col("split").is_in(parts)))

    def positives(self, *parts: str) -> pl.DataFrame:
        """Interactions that count as positive (all, where none was declared), of ``parts`` or of all."""
        frame = (self.select(*parts) if parts else self).interactions
        return frame.filter(pl.col("positive")) if "positive" in frame.columns else frame

    def histories(self, *parts: str) -> Ragged:
        """Positive item codes of every user, oldest first: ``n_users`` lists, of ``parts`` or of all.

        With their times, where every event has one.
        """
        frame = self.positives(*parts)
        times = self._times(frame)
        return Ragged.from_groups(frame["user"].to_numpy(), frame["item"].to_numpy(), self.n_users, times)

    def with_histories(self, histories: Ragged, *parts: str) -> Dataset:
        """The same data set with other items in :meth:`histories` of ``parts``, event by event; all else stays.

        Raises
        ------
        DataError
            If they are not as long as those they replace.
        """
        wanted = pl.lit(value=True)
        if parts and "split" in self.interactions.columns:
            wanted &= pl.col("split").is_in(parts)
        if "positive" in self.interactions.columns:
            wanted &= pl.col("positive")
        chosen = self.interactions.select(wanted.fill_null(value=False).alias("_"))["_"].to_numpy()
        chosen = np.broadcast_to(chosen, self.interactions.height)
        if int(chosen.sum()) != len(histories.values) or len(histories) != self.n_users:
            raise DataError("the histories are not those of the data set.", "Give as many events as there were.")
        items = self.interactions["item"].to_numpy().copy()
        items[chosen] = histories.values
        return replace(self, interactions=self.interactions.with_columns(pl.Series("item", items)))

    def matrix(self, *parts: str, weighted: bool = False) -> sp.csr_matrix:
        """Positive interactions as float32 CSR ``[n_users, n_items]``.

        Parameters
        ----------
        parts
            Parts to use; all where none is named.
        weighted
            Sum the ``weight`` column (1 where absent) over repeated events; otherwise every
            pair that occurs counts 1.
        """
        frame = self.positives(*parts)
        use = weighted and "weight" in frame.columns
        data = frame["weight"].to_numpy().astype(np.float32) if use else np.ones(frame.height, np.float32)
        rows: IntArray = frame["user"].to_numpy()
        columns: IntArray = frame["item"].to_numpy()
        matrix = sp.csr_matrix((data, (rows, columns)), shape=(self.n_users, self.n_items))
        matrix.sum_duplicates()
        if not weighted:
            matrix.data[:] = 1.0
        return matrix

    def popularity(self, *parts: str) -> FloatArray:
        """float32 ``[n_items]``: number of positive interactions of each item."""
        items = self.positives(*parts)["item"].to_numpy()
        return np.bincount(items, minlength=self.n_items).astype(np.float32)

    def times(self, *parts: str) -> TimeArray | None:
        """int64 microseconds since 1970 (UTC) of the values of :meth:`histories`; ``None`` unless all have one."""
        return self._times(self.positives(*parts))

    def _times(self, frame: pl.DataFrame) -> TimeArray | None:
        if "timestamp" not in self.interactions.columns or self.interactions["timestamp"].null_count():
            return None
        return frame["timestamp"].cast(pl.Int64).to_numpy()

    def text(self, columns: Sequence[str]) -> list[str]:
        """``n_items`` strings: the named item columns joined by a space, empty where unknown."""
        missing = [c for c in columns if c not in self.items.columns]
        if missing:
            raise DataError(
                f"the items table has no column {missing[0]!r}.",
                f"Columns: {', '.join(self.items.columns)}.",
            )
        joined = pl.concat_str([pl.col(c).cast(pl.String) for c in columns], separator=" ", ignore_nulls=True)
        return self.items.select(joined.fill_null(""))[:, 0].to_list()
