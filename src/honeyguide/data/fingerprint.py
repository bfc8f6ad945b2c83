"""Whether two data sets are the same."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset


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
