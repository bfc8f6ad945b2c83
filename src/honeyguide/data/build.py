"""From clean tables with external ids to a :class:`~honeyguide.core.dataset.Dataset` with codes."""

from __future__ import annotations

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ids import Ids


def build(
    name: str,
    interactions: pl.DataFrame,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
    extras: dict[str, pl.DataFrame] | None = None,
) -> Dataset:
    """Assign codes, sort, and align the feature tables.

    Parameters
    ----------
    name
        For reports.
    interactions
        Columns ``user_id``, ``item_id`` and any of those of :class:`Dataset`.
    items, users
        Feature tables with a column ``item_id`` / ``user_id``, one row per id.
    extras
        Further tables, kept as they are.
    """
    user_columns = [interactions["user_id"]] + ([users["user_id"]] if users is not None else [])
    item_columns = [interactions["item_id"]] + ([items["item_id"]] if items is not None else [])
    user_ids, item_ids = Ids.of(*user_columns), Ids.of(*item_columns)
    time = next((c for c in ("timestamp", "position") if c in interactions.columns), None)
    coded = interactions.with_columns(
        pl.Series("user", user_ids.encode(interactions["user_id"])),
        pl.Series("item", item_ids.encode(interactions["item_id"])),
    ).drop("user_id", "item_id")
    rest = [c for c in coded.columns if c not in ("user", "item")]
    coded = coded.select("user", "item", *rest).sort("user", *([time] if time else []), maintain_order=True)
    return Dataset(
        name=name,
        interactions=coded.rechunk(),
        user_ids=user_ids,
        item_ids=item_ids,
        items=_align(item_ids, items, "item_id"),
        users=_align(user_ids, users, "user_id"),
        extras=extras or {},
        ordered=time is not None,
    )


def _align(ids: Ids, table: pl.DataFrame | None, key: str) -> pl.DataFrame:
    frame = pl.DataFrame({key: ids.values})
    if table is None:
        return frame
    return frame.join(table, on=key, how="left", maintain_order="left")
