"""Indices over item vectors: exact search, and approximate ones that say how much they find."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from honeyguide.core.clusters import Cells, spherical_kmeans
from honeyguide.core.errors import MissingExtraError
from honeyguide.core.inner_product import top_k_inner_product
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.topk import NEVER, top_k

Allowed = npt.NDArray[np.bool_]
Kind = Literal["exact", "cells", "ivf", "hnsw"]

_SCORES = 1 << 22  # held at once


class Index:
    """The vectors of largest inner product with a query.

    Parameters
    ----------
    vectors
        float32 ``[m, d]``.
    kind
        ``"exact"``: all are looked at (up to some 100,000 an honest default). ``"cells"``: an inverted file in numpy.
        ``"ivf"`` and ``"hnsw"`` (Malkov & Yashunin 2018): those of faiss, extra ``[ann]``.
    width
        How much is looked at: cells for each query, or the length of the queue of HNSW.
    seed
        Of the clusters.

    Raises
    ------
    MissingExtraError
        If faiss is wanted and not installed.
    """

    def __init__(self, vectors: FloatArray, kind: Kind = "exact", *, width: int = 16, seed: int = 0) -> None:
        self.vectors, self.kind, self.width = np.ascontiguousarray(vectors, np.float32), kind, width
        self._cells: Cells | None = None
        self._faiss: Any = None
        self._parameters_of: dict[int, Any] = {}  # of a search, by its width
        lists = max(1, round(2 * len(vectors) ** 0.5))
        if kind == "cells":
            self._cells = Cells.of(self.vectors, spherical_kmeans(self.vectors, lists, seed=seed))
        elif kind != "exact":
            self._faiss = self._built(lists)

    def _built(self, lists: int) -> Any:
        try:
            import faiss
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"An index of kind {self.kind!r}", "ann") from error
        d, product = self.vectors.shape[1], faiss.METRIC_INNER_PRODUCT
        if self.kind == "hnsw":
            index: Any = faiss.IndexHNSWFlat(d, 32, product)
        else:
            self._quantizer = faiss.IndexFlatIP(d)
            index = faiss.IndexIVFFlat(self._quantizer, d, lists, product)
        index.train(self.vectors)
        index.add(self.vectors)
        return index

    def search(
        self, queries: FloatArray, k: int, *, width: int | None = None, allowed: Allowed | None = None
    ) -> tuple[IntArray, FloatArray]:
        """The ``k`` best for each of ``queries`` ``[q, d]``: int32 and float32 ``[q, k]``, padded with -1.

        Parameters
        ----------
        queries, k
            What is asked for.
        width
            How much is looked at; by default that of the index.
        allowed
            bool ``[m]``: what may be found; by default everything.
        """
        width = width or self.width
        if self._cells is not None:
            return self._cells.search(queries, k, width, allowed)
        if self._faiss is None:
            step = max(1, _SCORES // max(1, len(self.vectors)))
            blocks = [self._exact(queries[i : i + step], k, allowed) for i in range(0, max(1, len(queries)), step)]
            return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])
        asked = np.ascontiguousarray(queries, np.float32)
        values, items = self._faiss.search(asked, k, params=self._parameters(width, allowed))
        values[items < 0] = NEVER
        return items.astype(np.int32), values

    def _exact(self, queries: FloatArray, k: int, allowed: Allowed | None) -> tuple[IntArray, FloatArray]:
        scores = queries @ self.vectors.T
        if allowed is not None:
            scores[:, ~allowed] = NEVER
        return top_k(scores, k)

    def _parameters(self, width: int, allowed: Allowed | None) -> Any:
        """Of one search: several may be under way."""
        if allowed is None and width in self._parameters_of:
            return self._parameters_of[width]
        faiss: Any = import_module("faiss")  # its type stubs know little of this
        few = {} if allowed is None else {"sel": faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))}
        if self.kind == "hnsw":
            found = faiss.SearchParametersHNSW(efSearch=width, **few)
        else:
            found = faiss.SearchParametersIVF(nprobe=width, **few)
        if allowed is None:
            self._parameters_of[width] = found
        return found

    def recall(self, queries: FloatArray, k: int) -> float:
        """Share of the true ``k`` best that :meth:`search` finds, mean over ``queries``."""
        found, _ = self.search(queries, k)
        truth, _ = top_k_inner_product(queries, self.vectors, k, Ragged.empty(len(queries)))
        hits = [np.isin(t[t >= 0], f).mean() for t, f in zip(truth, found, strict=True)]
        return float(np.mean(hits))
