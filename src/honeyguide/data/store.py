"""Users' histories, kept beside a model and never inside it, so that a user can be deleted.

A store is a folder written by :mod:`honeyguide.core.artifact`: a new version appears whole or not
at all, and is checksummed. Unlike a model's folder it keeps no earlier versions, because those
would remember who was deleted. One process may write at a time; readers hold what they opened.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from honeyguide.core import artifact
from honeyguide.core.artifact import Artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import IntArray, Ragged

_KIND = "histories"


class HistoryStore:
    """What every user did, in item codes, oldest first; open it with :meth:`create` or :meth:`open`.

    Attributes
    ----------
    item_ids
        The map from item codes to external ids; the same as that of a model fitted on the same data.
    items
        The item table, one row per code.
    """

    def __init__(self, directory: Path, user_ids: Ids, item_ids: Ids, histories: Ragged, items: pl.DataFrame) -> None:
        self.directory = directory
        self.item_ids = item_ids
        self.items = items
        self._user_ids = user_ids
        self._histories = histories

    @classmethod
    def create(cls, directory: str | Path, data: Dataset, *parts: str) -> HistoryStore:
        """Write the histories of ``parts`` of ``data``, of all by default; replaces a store that is there."""
        store = cls(Path(directory), data.user_ids, data.item_ids, data.histories(*parts), data.items)
        store._publish(store._user_ids, store._histories)
        return store

    @classmethod
    def open(cls, directory: str | Path) -> HistoryStore:
        """Read a store.

        Raises
        ------
        ArtifactError
            If it is missing or damaged.
        """
        content = artifact.read(directory, _KIND)
        histories = Ragged(content.arrays["offsets"], content.arrays["values"])
        user_ids, items = Ids(content.tables["users"]["user_id"]), content.tables["items"]
        return cls(Path(directory), user_ids, Ids(items["item_id"]), histories, items)

    def __len__(self) -> int:
        return len(self._user_ids)

    def __contains__(self, user_id: object) -> bool:
        return bool(self._user_ids.encode([user_id])[0] >= 0)

    @property
    def user_ids(self) -> pl.Series:
        """External ids of all users."""
        return self._user_ids.values

    def history(self, user_id: object) -> IntArray:
        """Item codes of one user, oldest first.

        Raises
        ------
        DataError
            If the user is not in the store.
        """
        return self._histories[self._code(user_id)]

    def histories(self, user_ids: pl.Series | Sequence[object]) -> Ragged:
        """Item codes of many users in the given order; empty for those who are not in the store."""
        codes = self._user_ids.encode(user_ids)
        padded = self._histories.concat_rows(Ragged.empty(1))  # -1 takes the last, empty one
        return padded.take(np.where(codes < 0, len(self), codes))

    def append(self, user_ids: pl.Series, item_ids: pl.Series) -> None:
        """Add events, one per pair and in that order, at the end of histories; new users are added.

        Raises
        ------
        DataError
            If an item is not in the store.
        """
        items = self.item_ids.encode(item_ids)
        if (items < 0).any():
            unknown = item_ids[int(np.argmax(items < 0))]
            raise DataError(f"the item {unknown!r} is not in the store.", "Create the store anew from the data.")
        known = self._user_ids.append(user_ids)
        users = known.encode(user_ids)
        order = np.argsort(users, kind="stable")
        old = self._histories.concat_rows(Ragged.empty(len(known) - len(self)))
        self._publish(known, old.concat(Ragged.from_groups(users[order], items[order], len(known))))

    def add_items(self, items: pl.DataFrame) -> None:
        """Add rows to the item table: new ids follow the others in sorted order; a row of a known id replaces it.

        Columns that the store does not have are added, and those that ``items`` lacks stay empty.
        """
        ids = self.item_ids.append(items["item_id"])
        new = items.with_columns(pl.col("item_id").cast(ids.dtype))
        table = pl.concat([_like(new, self.items), self.items], how="diagonal_relaxed")
        table = table.select(*self.items.columns, pl.exclude(self.items.columns))
        table = table.unique("item_id", keep="first", maintain_order=True)
        table = pl.DataFrame({"item_id": ids.values}).join(table, on="item_id", how="left", maintain_order="left")
        self.item_ids, self.items = ids, table
        self._publish(self._user_ids, self._histories)

    def delete(self, user_id: object) -> None:
        """Forget a user: when this returns, no file of the store holds the id or the history any more.

        Raises
        ------
        DataError
            If the user is not in the store.
        ArtifactError
            If the store cannot be written to; nothing is deleted then.
        """
        code = self._code(user_id)
        keep = np.delete(np.arange(len(self)), code)
        self._publish(Ids(self._user_ids.values.gather(keep)), self._histories.take(keep))

    def _code(self, user_id: object) -> int:
        code = int(self._user_ids.encode([user_id])[0])
        if code < 0:
            raise DataError(f"the user {user_id!r} is not in the store {self.directory}.", "Check the id.")
        return code

    def _publish(self, user_ids: Ids, histories: Ragged) -> None:
        """Write a new version, then take it over and remove every other: also what a crashed write left."""
        content = Artifact(
            kind=_KIND,
            meta={"users": len(user_ids), "items": len(self.item_ids), "events": len(histories.values)},
            arrays={"offsets": histories.offsets, "values": histories.values},
            tables={"users": pl.DataFrame({"user_id": user_ids.values}), "items": self.items},
        )
        current = artifact.publish(self.directory, content)
        self._user_ids, self._histories = user_ids, histories
        for path in self.directory.iterdir():
            if path.is_dir() and path != current and path.name.startswith(("v", ".new", ".old")):
                shutil.rmtree(path)


def _like(new: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """``new`` with the types that ``old`` has for the same columns; a word where lists are kept is a list of one."""
    casts = []
    for name in set(new.columns) & set(old.columns):
        kept, given = old.schema[name], new.schema[name]
        if isinstance(kept, pl.List) and not isinstance(given, pl.List):
            casts.append(pl.col(name).cast(kept.inner, strict=False).reshape((-1, 1)).arr.to_list().alias(name))
        else:
            casts.append(pl.col(name).cast(kept, strict=False))
    return new.with_columns(casts)
