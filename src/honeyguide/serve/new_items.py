"""Items that came after the fit: those that the model can take in get a place in it."""

from __future__ import annotations

import logging
from typing import Any

import polars as pl

from honeyguide.core.errors import HoneyguideError
from honeyguide.encode.pictures import without_paths, without_pictures
from honeyguide.experiment.bundle import Bundle
from honeyguide.serve.table import typed_table

_LOG = logging.getLogger("honeyguide.serve")


def with_new_items(bundle: Bundle, items: dict[str, dict[str, Any]]) -> Bundle:
    """The bundle with those items that its model can take in and does not know."""
    model, ids = bundle.model, bundle.item_ids
    if not items or "add_items" not in model.capabilities:
        return bundle
    names = pl.Series("item_id", list(items), pl.String).cast(ids.dtype, strict=False)
    codes = ids.encode(names)
    rows = [
        {**fields, "item_id": name}
        for name, code, fields in zip(names, codes, items.values(), strict=True)
        if code < 0 and name is not None
    ]
    if not rows:
        return bundle
    table = without_paths(typed_table(rows, bundle.store.items.schema))
    try:
        grown = model.add_items(table)
    except HoneyguideError as error:
        _LOG.warning("new items have no place in the model: %s", error)
        return bundle
    store = bundle.store
    store.items = pl.concat([store.items, without_pictures(table).select(store.items.columns)], how="vertical_relaxed")
    return Bundle(bundle.directory, grown, store)
