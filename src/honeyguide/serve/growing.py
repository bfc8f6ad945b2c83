"""Items that come while a service runs, and what makes its answers fast, prepared beside it."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from honeyguide.agent.grammar import Grammar
from honeyguide.core.errors import HoneyguideError
from honeyguide.encode.items import ItemText
from honeyguide.experiment.bundle import Bundle

if TYPE_CHECKING:
    from honeyguide.serve.engine import Live

_LOG = logging.getLogger("honeyguide.serve")
_LARGE = 20_000  # items from which on an index pays: below, a look at all takes less than a millisecond
_SAMPLE = 200  # users on whom the recall of an index is measured
_NICENESS = 10


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


def grown(before: Live, bundle: Bundle) -> Live:
    """What is in service, with the items that ``bundle`` has more; what is known of the others is not made again."""
    m, stock = len(before.stock), before.stock
    events = np.zeros(len(bundle.item_ids), np.float32)
    events[:m] = stock.popularity
    longer = stock.grown(bundle.model, bundle.store.items, events)
    lexicon = before.grammar.lexicon.grown(longer.items[m:])
    return replace(
        before,
        bundle=bundle,
        stock=longer,
        stages=before.stages.over(longer),
        grammar=Grammar(lexicon),
    )


def warm(live: Live) -> None:
    """Make the index over the items, and read their texts: it may take minutes, and runs behind the requests."""
    if hasattr(os, "setpriority"):  # on Linux of this thread alone
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
    kind = live.stages.current.config.index
    if kind != "exact" and (kind != "auto" or len(live.stock) >= _LARGE):
        _index(live, None if kind == "auto" else kind)
    text = getattr(live.bundle.model, "text", None)
    try:
        if isinstance(text, ItemText):
            text.ready()
        live.stock.read_ahead()
    except HoneyguideError as error:
        _LOG.info("commands and searches do not read texts: %s", error)


def _index(live: Live, kind: Any) -> None:
    stock, store = live.stock, live.bundle.store
    if stock.item_vectors is None or not len(store):
        return
    first = np.linspace(0, len(store) - 1, min(_SAMPLE, len(store))).astype(np.int64)
    histories = [live.bundle.history(user) for user in store.user_ids.gather(first)]
    users = [stock.user_vector(history) for history in histories]
    stock.index(np.array([user for user in users if user is not None], np.float32), kind)
    if stock.near is None:
        _LOG.info("no index finds enough of the best items: all are looked at")
    else:
        _LOG.info("index %s: recall %.3f", stock.near.kind, stock.near.recall)
