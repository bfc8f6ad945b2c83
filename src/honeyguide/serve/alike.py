"""Items that are alike: as the model holds, and by their texts where it cannot say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.core.topk import NEVER, top_k
from honeyguide.serve.answer import Live
from honeyguide.serve.engine import Engine
from honeyguide.serve.service import HTTPProblem
from honeyguide.serve.table import typed_table


@dataclass(frozen=True)
class Alike:
    """Items like one, best first.

    Parameters
    ----------
    codes, scores
        int32 and float32 ``[n]``.
    by
        What says so: the model, or the items' texts.
    """

    codes: IntArray
    scores: FloatArray
    by: Literal["model", "text"]


def alike(engine: Engine, live: Live, item_id: str, k: int) -> Alike:
    """The ``k`` items most like one of the catalogue, or of the store alone.

    Raises
    ------
    HTTPProblem
        If neither has such an item.
    DataError
        If only texts can say, and items have no words.
    """
    code = int(engine.codes([item_id], live)[0])
    model, stock = live.bundle.model, live.stock
    if code >= 0 and "similar" in model.capabilities:
        found = model.similar(np.array([code], np.int32), k)
        there = found.items[0] >= 0
        return Alike(found.items[0][there], found.scores[0][there], "model")
    if code >= 0:
        vector = stock.text_vectors[code]
    else:
        fields = engine.store.item(engine.tenant, item_id)
        if fields is None:
            raise HTTPProblem.no_item(item_id)
        vector = stock.text_of_items(typed_table([fields], stock.items.schema))[0]
    cosine = np.where(stock.text_vectors.any(axis=1), stock.text_vectors @ vector, NEVER)[None]
    if code >= 0:
        cosine[0, code] = NEVER
    codes, scores = top_k(cosine.astype(np.float32), k)
    there = (codes[0] >= 0) & (scores[0] > NEVER)
    return Alike(codes[0][there], scores[0][there], "text")
