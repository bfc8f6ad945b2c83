"""Sources of candidates; a filter holds in each of them already, so that it never leaves a page short."""

from __future__ import annotations

import numpy as np

from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.core.topk import NEVER
from honeyguide.pipeline.asked import Allowed, Asked, Pool
from honeyguide.pipeline.config import Rank, Retrieve
from honeyguide.pipeline.stock import Mask

FUSION = 60.0  # of reciprocal rank fusion


def retrieve(asked: Asked, source: Retrieve, may: Allowed) -> tuple[IntArray, FloatArray | None]:
    """At most ``source.n`` candidates of one source, best first; and the model's scores of them where they are known.

    Parameters
    ----------
    asked
        The request.
    source
        Which, and how many.
    may
        What may be shown.
    """
    if source.source == "model":
        return _by_model(asked, source.n, may)
    if source.source == "popular":
        return asked.stock.popular.best(may.mask, source.n), None  # as it is now: the service counts events
    if source.source == "latest":
        newest = np.arange(len(asked.stock) - 1, -1, -1, dtype=np.int32)  # codes are only ever appended
        order = asked.stock.order_by(source.by) if source.by is not None else newest
        return order[may.mask[order]][: source.n], None
    if source.source == "similar":
        return _similar(asked, source, may.mask), None
    return _best(asked.stock.text_vectors @ asked.profile, may.mask, source.n), None


def _by_model(asked: Asked, n: int, may: Allowed) -> tuple[IntArray, FloatArray]:
    """The best of the model: by the index where there is one and it finds enough, else of all items."""
    near = asked.stock.near
    found = near.search(asked.user, n, may) if near is not None and asked.user is not None else None
    if found is not None:
        return found
    best = _best(asked.scores, may.mask, n)
    return best, asked.scores[best]


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


def rank(asked: Asked, sources: dict[str, IntArray], how: Rank, known: FloatArray | None = None) -> Pool:
    """The candidates of all sources in one order.

    Parameters
    ----------
    asked, sources, how
        The request, the candidates of every source, and by what they are ordered.
    known
        The model's scores of the candidates of the source ``"model"``.
    """
    if how.by == "model" and known is not None and list(sources) == ["model"]:  # in that order already
        return Pool(sources["model"], known, sources)
    items = np.unique(np.concatenate([np.empty(0, np.int32), *sources.values()]))
    if how.by == "model":
        scores = asked.scores_of(items)
    else:
        scores = np.zeros(len(items), np.float32)
        for found in sources.values():
            places = np.searchsorted(items, found)
            scores[places] += np.float32(1) / (np.float32(FUSION) + np.arange(1, len(found) + 1, dtype=np.float32))
    return Pool(items, scores, sources).ranked(scores)
