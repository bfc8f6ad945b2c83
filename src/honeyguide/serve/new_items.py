"""Items that came after the fit: those that the model can take in get a place in it."""

from __future__ import annotations

import logging
from typing import Any

import polars as pl

from honeyguide.core.errors import HoneyguideError
from honeyguide.experiment.bundle import Bundle

_LOG = logging.getLogger("honeyguide.serve")


def with_new_items(bundle: Bundle, items: dict[str, dict[str, Any]]) -> Bundle:
    """The bundle with those items that its model can take in and does not know."""
    model, ids = bundle.model, bundle.item_ids
    if not items or "add_items" not in model.capabilities:
        return bundle
    names = pl.Series("item_id", list(items), pl.String).cast(ids.dtype, strict=False)
    codes = ids.encode(names)
    rows = [
        {"item_id": name, **{k: v for k, v in fields.items() if k in bundle.store.items.columns}}
        for name, code, fields in zip(names, codes, items.values(), strict=True)
        if code < 0 and name is not None
    ]
    if not rows:
        return bundle
    schema = {name: bundle.store.items.schema[name] for name in bundle.store.items.columns}
    table = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
    for column, dtype in schema.items():
        if column not in table.columns:
            table = table.with_columns(pl.lit(None, dtype).alias(column))
    try:
        grown = model.add_items(table)
    except HoneyguideError as error:
        _LOG.warning("new items have no place in the model: %s", error)
        return bundle
    store = bundle.store
    store.items = pl.concat([store.items, table.select(store.items.columns)], how="vertical_relaxed")
    return Bundle(bundle.directory, grown, store)
