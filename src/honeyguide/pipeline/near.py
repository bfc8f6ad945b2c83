"""Items of largest score by an index, for models whose score is an inner product. Shapes: m items, d width, q users."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from honeyguide.core.ann import Index, Kind
from honeyguide.core.clusters import best
from honeyguide.core.inner_product import top_k_inner_product
from honeyguide.core.ragged import FloatArray, IntArray, Ragged

if TYPE_CHECKING:
    from honeyguide.pipeline.asked import Allowed

RECALL = 0.95  # of the candidates that an index finds for users of the model, at least
MEASURED_AT = 200  # candidates by which the recall is measured: what a source asks for unless told otherwise
_CELLS = (8, 12, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128)
_WIDTHS = {"exact": (1,), "ivf": _CELLS, "cells": _CELLS, "hnsw": (256, 512, 1024)}
_PAIRS = 64  # items that are compared with all candidates: beyond, a look-up is faster
_FEW = 16  # of which no more than this part of the items may be shown are all looked at
_BESIDE = 0.05  # share of the items that may stand beside an index before it is built anew


def augmented(vectors: FloatArray) -> FloatArray:
    """float32 ``[m, d + 1]``, all of one length: ``(y, sqrt(max |y|^2 - |y|^2))`` (Bachrach et al., RecSys 2014).

    The product with ``(x, 0)`` is that of ``x`` and ``y``, and the largest belongs to the vector of the nearest
    direction: cells by direction then serve inner products, which cells of the plain vectors do badly.
    """
    squares = np.einsum("md,md->m", vectors, vectors)
    rest = np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0.0))
    return np.concatenate([vectors, rest[:, None]], axis=1).astype(np.float32)


class Near:
    """An index over the item vectors of a model, and the items that came since beside it.

    Parameters
    ----------
    vectors
        float32 ``[m, d]``.
    kind
        Of :class:`~honeyguide.core.ann.Index`.
    """

    def __init__(self, vectors: FloatArray, kind: Kind) -> None:
        self.vectors, self.kind = vectors, kind
        self.index = Index(augmented(vectors), kind)
        self.width, self.recall = _WIDTHS[kind][0], 0.0

    @classmethod
    def over(cls, vectors: FloatArray, users: FloatArray, kind: Kind | None = None) -> Near | None:
        """An index that looks at so much that it finds 95 % of the best 200; ``None`` where it would look at too much.

        Parameters
        ----------
        vectors
            float32 ``[m, d]`` of the items.
        users
            float32 ``[q, d]``: a sample of users, on whom the recall is measured.
        kind
            By default the inverted file of faiss where it is installed, else that in numpy.
        """
        users = users[users.any(axis=1)]
        if not len(users) or not len(vectors):
            return None
        near = cls(vectors, kind or ("ivf" if find_spec("faiss") is not None else "cells"))
        truth, _ = top_k_inner_product(users, vectors, MEASURED_AT, Ragged.empty(len(users)))
        for width in _WIDTHS[near.kind]:
            near.width = width
            found = [near._indexed(user, MEASURED_AT, width, None)[0] for user in users]
            near.recall = float(np.mean([np.isin(t[t >= 0], f).mean() for t, f in zip(truth, found, strict=True)]))
            if near.recall >= RECALL:
                return near
        return None

    def __len__(self) -> int:
        return len(self.vectors)

    def grown(self, vectors: FloatArray) -> Near | None:
        """The same index with longer ``vectors``: new ones are looked at one by one, as long as they are few."""
        if len(vectors) - len(self.index.vectors) > _BESIDE * len(vectors):
            return None
        grown = copy.copy(self)
        grown.vectors = vectors
        return grown

    def search(self, user: FloatArray, n: int, may: Allowed) -> tuple[IntArray, FloatArray] | None:
        """The ``n`` best of what may be shown, best first, and their scores.

        Where few may be shown all of these are looked at, and the result is exact.

        Parameters
        ----------
        user
            float32 ``[d]``.
        n
            How many.
        may
            What may be shown.

        Returns
        -------
        items, scores
            int32 and float32 ``[n]``; ``None`` where the index found too few: then all must be looked at.
        """
        m = len(self)
        if may.count * _FEW <= m:
            codes = np.flatnonzero(may.mask).astype(np.int32)
            return best(codes, self.vectors[codes] @ user, n)
        items, scores = self._unfiltered(user, n, may) if may.fits is None else self._filtered(user, n, may)
        indexed = len(self.index.vectors)
        if indexed < m:  # what came since is looked at one by one
            beside = np.flatnonzero(may.mask[indexed:]).astype(np.int32) + np.int32(indexed)
            items = np.concatenate([items, beside])
            items, scores = best(items, np.concatenate([scores, self.vectors[beside] @ user]), n)
        return (items[:n], scores[:n]) if len(items) >= min(n, may.count) else None

    def _unfiltered(self, user: FloatArray, n: int, may: Allowed) -> tuple[IntArray, FloatArray]:
        """Only some that are known by name may not be shown: they are taken out afterwards."""
        wanted = n + len(may.excluded)
        items, scores = self._indexed(user, wanted, self.width * max(wanted, MEASURED_AT) // MEASURED_AT, None)
        few = len(may.excluded) <= _PAIRS
        kept = (items != may.excluded[:, None]).all(axis=0) if few else may.mask[items]
        return items[kept], scores[kept]

    def _filtered(self, user: FloatArray, n: int, may: Allowed) -> tuple[IntArray, FloatArray]:
        """The fewer fit, the more cells are looked at."""
        deep = self.width * max(n, MEASURED_AT) // MEASURED_AT
        width = min(deep * len(self) // may.count, len(self.index.vectors))
        return self._indexed(user, n, width, may.mask[: len(self.index.vectors)])

    def _indexed(
        self, user: FloatArray, n: int, width: int, may: npt.NDArray[np.bool_] | None
    ) -> tuple[IntArray, FloatArray]:
        query = np.zeros((1, len(user) + 1), np.float32)
        query[0, :-1] = user
        items, scores = self.index.search(query, n, width=width, allowed=may)
        if items[0, -1] >= 0:
            return items[0], scores[0]
        there = items[0] >= 0
        return items[0][there], scores[0][there]
