"""From clean tables with external ids to a :class:`~honeyguide.core.dataset.Dataset` with codes, and back."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ids import Ids

# What makes two rows the same event.
_EVENT_KEY = ("user", "item", "timestamp", "position", "event")


def build(
    name: str,
    interactions: pl.DataFrame,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
    extras: dict[str, pl.DataFrame] | None = None,
) -> Dataset:
    """Assign codes, sort, and align the feature tables.

    Every id of the feature tables gets a code, also without interactions (the catalogue).

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
    coded, ordered = _sorted(_encode(interactions, user_ids, item_ids))
    return Dataset(
        name=name,
        interactions=coded,
        user_ids=user_ids,
        item_ids=item_ids,
        items=_align(item_ids, items, "item_id"),
        users=_align(user_ids, users, "user_id"),
        extras=extras or {},
        ordered=ordered,
    )


def decoded(data: Dataset) -> pl.DataFrame:
    """The interactions with external ids ``user_id`` and ``item_id`` in place of codes."""
    frame = data.interactions
    return frame.select(
        data.user_ids.decode(frame["user"].to_numpy()).alias("user_id"),
        data.item_ids.decode(frame["item"].to_numpy()).alias("item_id"),
        pl.exclude("user", "item"),
    )


def extend(
    data: Dataset,
    interactions: pl.DataFrame,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
) -> Dataset:
    """``data`` with more events, items or users: known ids keep their codes, new ids follow.

    Events that are there already (same user, item, time or position, and kind) are not added
    again, so that extending twice with the same rows changes nothing.

    Parameters
    ----------
    data
        What is known so far.
    interactions
        New events with external ids, as for :func:`build`.
    items, users
        New or corrected rows of the feature tables.
    """
    user_ids, item_ids = data.user_ids, data.item_ids
    for table in (interactions, users):
        user_ids = user_ids if table is None else user_ids.append(table["user_id"])
    for table in (interactions, items):
        item_ids = item_ids if table is None else item_ids.append(table["item_id"])
    old, new = data.interactions, _encode(interactions, user_ids, item_ids)
    key = [c for c in _EVENT_KEY if c in old.columns and c in new.columns]
    new = new.unique(key, keep="first", maintain_order=True).cast({c: old.schema[c] for c in key})
    new = new.join(old.select(key).unique(), on=key, how="anti", nulls_equal=True, maintain_order="left")
    coded, ordered = _sorted(pl.concat([old, new], how="diagonal_relaxed"))
    return replace(
        data,
        interactions=coded,
        user_ids=user_ids,
        item_ids=item_ids,
        items=_align(item_ids, _updated(data.items, items, "item_id"), "item_id"),
        users=_align(user_ids, _updated(data.users, users, "user_id"), "user_id"),
        ordered=ordered and data.ordered,
    )


def _encode(interactions: pl.DataFrame, user_ids: Ids, item_ids: Ids) -> pl.DataFrame:
    return interactions.select(
        pl.Series("user", user_ids.encode(interactions["user_id"])),
        pl.Series("item", item_ids.encode(interactions["item_id"])),
        pl.exclude("user_id", "item_id"),
    )


def _sorted(coded: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """Events by user, then by time where every event has one, else by position; and whether there was either.

    Equal times are ordered by position where there is one, and stay in the order of the rows otherwise.
    """
    order = [c for c in ("timestamp", "position") if c in coded.columns and coded[c].null_count() == 0]
    return coded.sort("user", *order, maintain_order=True).rechunk(), bool(order)


def _align(ids: Ids, table: pl.DataFrame | None, key: str) -> pl.DataFrame:
    frame = pl.DataFrame({key: ids.values})
    if table is None:
        return frame
    return frame.join(table.with_columns(pl.col(key).cast(ids.dtype)), on=key, how="left", maintain_order="left")


def _updated(old: pl.DataFrame, new: pl.DataFrame | None, key: str) -> pl.DataFrame:
    if new is None:
        return old
    new = new.with_columns(pl.col(key).cast(old.schema[key]))
    return pl.concat([new, old], how="diagonal_relaxed").unique(key, keep="first", maintain_order=True)
