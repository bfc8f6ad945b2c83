"""What makes the answers of a service fast, prepared beside it, and kept where items are added."""

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from honeyguide.agent.grammar import Grammar
from honeyguide.agent.lexicon import Lexicon
from honeyguide.core.errors import HoneyguideError
from honeyguide.encode.items import ItemText
from honeyguide.experiment.bundle import Bundle

if TYPE_CHECKING:
    from honeyguide.serve.engine import Live

_LOG = logging.getLogger("honeyguide.serve")
_LARGE = 20_000  # items from which on an index pays: below, a look at all takes less than a millisecond
_SAMPLE = 200  # users on whom the recall of an index is measured
_NICENESS = 10


def grown(before: Live, bundle: Bundle) -> Live:
    """What is in service, with the items that ``bundle`` has more; what is known of the others is not made again."""
    m, stock = len(before.stock), before.stock
    events = np.zeros(len(bundle.item_ids), np.float32)
    events[:m] = stock.popularity
    longer = stock.grown(bundle.model, bundle.store.items, events)
    if "grammar" in before.__dict__:
        words = partial(Grammar, before.grammar.lexicon.grown(longer.items[m:]))
    else:
        words = partial(grammar_of, longer.items)
    return replace(before, bundle=bundle, stock=longer, stages=before.stages.over(longer), words=words)


def grammar_of(items: pl.DataFrame) -> Grammar:
    """The grammar of commands over an item table."""
    return Grammar(Lexicon.of(items))


def warm_behind(live: Live) -> None:
    """As :func:`warm`, in a thread of its own that gives way to the requests."""
    if sys.platform == "linux":  # where it is of this thread alone
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
    warm(live)


def warm(live: Live) -> None:
    """Make the index over the items, and read their texts: it may take minutes where many were never read."""
    kind = live.stages.current.config.index
    if kind != "exact" and (kind != "auto" or len(live.stock) >= _LARGE):
        _index(live, None if kind == "auto" else kind)
    _ = live.grammar
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
