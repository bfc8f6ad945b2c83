"""A data set frozen to disk, codes and all, so that every cell of a comparison reads the same one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.ids import Ids

_EXTRA = "extra_"


def freeze(data: Dataset, directory: str | Path) -> Path:
    """Write ``data`` as an artifact of kind ``dataset`` and return its folder."""
    tables = {"interactions": data.interactions, "items": data.items, "users": data.users}
    tables |= {_EXTRA + name: table for name, table in data.extras.items()}
    meta = {"name": data.name, "ordered": data.ordered}
    return artifact.publish(directory, artifact.Artifact("dataset", meta, tables=tables))


def thaw(directory: str | Path) -> Dataset:
    """Read what :func:`freeze` wrote.

    Raises
    ------
    ArtifactError
        If it is missing or damaged.
    """
    content = artifact.read(directory, "dataset")
    items, users = content.tables["items"], content.tables["users"]
    return Dataset(
        name=content.meta["name"],
        interactions=content.tables["interactions"],
        user_ids=Ids(users["user_id"]),
        item_ids=Ids(items["item_id"]),
        items=items,
        users=users,
        extras={name.removeprefix(_EXTRA): t for name, t in content.tables.items() if name.startswith(_EXTRA)},
        ordered=content.meta["ordered"],
    )


def fingerprint(data: Dataset) -> str:
    """SHA-256 over ids, events, positives, split and what is known of items: equal for equal data from any file."""
    digest = hashlib.sha256(f"{data.n_users} {data.n_items} {data.ordered}".encode())
    for ids in (data.user_ids, data.item_ids):
        digest.update("\n".join(ids.values.cast(pl.String).to_list()).encode())
    for table in (data.interactions, data.items.drop("item_id")):
        for column in table.columns:
            digest.update(column.encode())
            digest.update(_content(table[column]))
    return digest.hexdigest()


def _content(column: pl.Series) -> bytes:
    if column.dtype.is_numeric() or column.dtype.is_temporal() or column.dtype == pl.Boolean:
        nulls = column.is_null().to_numpy().tobytes()
        filled = column.to_physical().fill_null(strategy="zero") if column.null_count() else column.to_physical()
        return nulls + np.ascontiguousarray(filled.to_numpy()).tobytes()
    return "\n".join("" if value is None else str(value) for value in column.to_list()).encode()
