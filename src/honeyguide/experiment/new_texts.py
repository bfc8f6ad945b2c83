"""The text of items that an update brings: what a model reads of it, and what was given."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.pictures import PICTURE
from honeyguide.encode.items import item_texts
from honeyguide.experiment.bundle import Bundle


def require_words(bundle: Bundle, events: Dataset) -> None:
    """Refuse a table of items of which the model can read nothing, where it is to say what new items are.

    An item that came without text keeps none until the next fit, so this is no time for a guess.

    Raises
    ------
    DataError
        If the table has none of the columns that the model reads.
    """
    wanted, given = bundle.model.reads_columns, [name for name in events.items.columns if name != "item_id"]
    used = events.item_ids.values.gather(events.positives()["item"].unique())
    new = bundle.store.item_ids.encode(used) < 0
    if not wanted or not given or not new.any() or {*wanted, PICTURE} & set(given):
        return
    raise DataError(
        f"the table of items has none of the columns that {bundle.model.name} reads: it reads {', '.join(wanted)}, and "
        f"the table has {', '.join(given)}.",
        "Call them as the table of the fit does, or give no table: new items have no text then. Nothing was changed.",
    )


def without_text(items: pl.DataFrame, columns: Sequence[str]) -> int:
    """How many rows of ``items`` have no word in any of ``columns``; 0 where none is read."""
    if not columns:
        return 0
    there = [column for column in columns if column in items.columns]
    return sum(not text for text in item_texts(items, there))
