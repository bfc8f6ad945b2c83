"""Sources of candidates; a filter holds in each of them already, so that it never leaves a page short."""

from __future__ import annotations

import numpy as np

from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.core.topk import NEVER
from honeyguide.pipeline.asked import Asked, Pool
from honeyguide.pipeline.config import Rank, Retrieve
from honeyguide.pipeline.stock import Mask

FUSION = 60.0  # of reciprocal rank fusion


def retrieve(asked: Asked, source: Retrieve, may: Mask) -> IntArray:
    """At most ``source.n`` candidates of one source, best first.

    Parameters
    ----------
    asked
        The request.
    source
        Which, and how many.
    may
        bool ``[m]``: what may be shown.
    """
    if source.source == "popular":
        return asked.stock.popular.best(may, source.n)  # as it is now: the service counts events
    if source.source == "latest":
        newest = np.arange(len(asked.stock) - 1, -1, -1, dtype=np.int32)  # codes are only ever appended
        order = asked.stock.order_by(source.by) if source.by is not None else newest
        return order[may[order]][: source.n]
    if source.source == "similar":
        return _similar(asked, source, may)
    if source.source == "text":
        return _best(asked.stock.text_vectors @ asked.profile, may, source.n)
    return _by_model(asked, source.n, may)


def _by_model(asked: Asked, n: int, may: Mask) -> IntArray:
    """The best of the model: by the index where there is one and it finds enough, else of all items."""
    near = asked.stock.near
    if near is not None and asked.user is not None:
        found = near.search(asked.user, n, may, int(np.count_nonzero(may)))
        if found is not None:
            return found[0]
    return _best(asked.scores, may, n)


def _best(scores: FloatArray, may: Mask, n: int) -> IntArray:
    """The ``n`` highest of what may be shown; ties by the lower code."""
    codes = np.flatnonzero(may & (scores > NEVER))
    if len(codes) > n:
        own = scores[codes]
        edge = np.partition(own, len(own) - n)[len(own) - n]
        above, level = codes[own > edge], codes[own == edge]
        codes = np.concatenate([above, level[: n - len(above)]])
    order = np.lexsort((codes, -scores[codes]))
    return codes[order].astype(np.int32)


def _similar(asked: Asked, source: Retrieve, may: Mask) -> IntArray:
    """What is most similar to any of the latest events: by the place in their lists, the latest event first."""
    known = asked.history[asked.history >= 0]
    latest = known[::-1][: source.last]
    if not len(latest):
        return np.empty(0, np.int32)
    found = asked.stock.model.similar(latest.astype(np.int32), source.n).items
    mixed = found.T.ravel()  # the first of each list, then the second of each
    mixed = mixed[mixed >= 0]
    mixed = mixed[may[mixed]]
    _, first = np.unique(mixed, return_index=True)
    return mixed[np.sort(first)][: source.n].astype(np.int32)


def rank(asked: Asked, sources: dict[str, IntArray], how: Rank) -> Pool:
    """The candidates of all sources in one order."""
    if how.by == "model" and list(sources) == ["model"]:  # in that order already
        return Pool(sources["model"], asked.scores_of(sources["model"]), sources)
    items = np.unique(np.concatenate([np.empty(0, np.int32), *sources.values()]))
    if how.by == "model":
        scores = asked.scores_of(items)
    else:
        scores = np.zeros(len(items), np.float32)
        for found in sources.values():
            places = np.searchsorted(items, found)
            scores[places] += np.float32(1) / (np.float32(FUSION) + np.arange(1, len(found) + 1, dtype=np.float32))
    return Pool(items, scores, sources).ranked(scores)
