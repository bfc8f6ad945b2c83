"""Clusters of vectors by direction, and search within the cells that they make.

Shapes: m vectors of width d, C clusters, q queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.core.topk import NEVER, top_k

_TOGETHER = 4096  # vectors compared with all centroids at once


def nearest_centroid(vectors: FloatArray, centroids: FloatArray) -> IntArray:
    """int32 ``[m]``: the centroid of largest product with each of ``vectors``, the first among equals."""
    found = np.empty(len(vectors), np.int32)
    for start in range(0, len(vectors), _TOGETHER):
        rows = slice(start, start + _TOGETHER)
        found[rows] = (vectors[rows] @ centroids.T).argmax(1)
    return found


def spherical_kmeans(
    vectors: FloatArray, clusters: int, *, iterations: int = 10, seed: int = 0, sample: int = 64
) -> FloatArray:
    """Centroids of clusters by cosine (Dhillon & Modha, Machine Learning 2001): float32 ``[C, d]`` of length 1.

    Parameters
    ----------
    vectors
        ``[m, d]``, of any length; those of length 0 have no direction and are left out.
    clusters
        C; fewer where there are fewer vectors.
    iterations
        Passes at most; it ends when nothing moves.
    seed
        Of the start: vectors drawn without replacement. A cluster that gets empty starts anew at the vector that is
        farthest from its centroid.
    sample
        At most so many vectors for each cluster are looked at while the centroids move.
    """
    rng = np.random.default_rng(seed)
    directed = unit(vectors[np.linalg.norm(vectors, axis=1) > 0])
    if len(directed) > sample * clusters:
        directed = directed[np.sort(rng.choice(len(directed), sample * clusters, replace=False))]
    clusters = max(1, min(clusters, len(directed)))
    if not len(directed):
        return np.zeros((1, vectors.shape[1]), np.float32)
    centroids = directed[np.sort(rng.choice(len(directed), clusters, replace=False))]
    before = np.full(len(directed), -1, np.int32)
    for _ in range(iterations):
        labels = nearest_centroid(directed, centroids)
        if (labels == before).all():
            break
        sums = np.zeros_like(centroids)
        np.add.at(sums, labels, directed)
        empty = np.flatnonzero(np.bincount(labels, minlength=clusters) == 0)
        if len(empty):
            likeness = np.einsum("md,md->m", directed, centroids[labels])
            sums[empty] = directed[np.argsort(likeness, kind="stable")[: len(empty)]]
        centroids, before = unit(sums), labels
    return centroids


@dataclass(frozen=True)
class Cells:
    """Vectors by cluster, so that a query looks at a few cells only: an inverted file.

    Parameters
    ----------
    centroids
        float32 ``[C, d]``.
    labels
        int32 ``[m]``: the cell of each vector.
    vectors
        float32 ``[m, d]``, cell after cell.
    codes
        int32 ``[m]``: which vector stands there.
    offsets
        int64 ``[C + 1]``: where the cells begin.
    """

    centroids: FloatArray
    labels: IntArray
    vectors: FloatArray
    codes: IntArray
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, vectors: FloatArray, centroids: FloatArray) -> Cells:
        """Put ``vectors`` ``[m, d]`` into the cells of ``centroids`` by their direction."""
        labels = nearest_centroid(unit(vectors), centroids)
        codes = np.argsort(labels, kind="stable").astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=len(centroids)))])
        return cls(centroids, labels, np.ascontiguousarray(vectors[codes]), codes, offsets)

    def probed(self, queries: FloatArray, probes: int) -> IntArray:
        """int32 ``[q, probes]``: the cells whose centroids have the largest products with each query, best first."""
        return top_k(np.asarray(queries @ self.centroids.T, np.float32), min(probes, len(self.centroids)))[0]

    def look(self, query: FloatArray, cells: IntArray) -> tuple[IntArray, FloatArray]:
        """What lies in ``cells``, cell by cell, and its products with ``query`` ``[d]``: int32 and float32 ``[s]``."""
        inside = [slice(self.offsets[cell], self.offsets[cell + 1]) for cell in cells]
        codes = np.concatenate([self.codes[part] for part in inside])
        return codes, np.concatenate([self.vectors[part] @ query for part in inside])

    def search(
        self, queries: FloatArray, k: int, probes: int, allowed: npt.NDArray[np.bool_] | None = None
    ) -> tuple[IntArray, FloatArray]:
        """The ``k`` best in the ``probes`` best cells of each query: int32 and float32 ``[q, k]``, padded with -1.

        Parameters
        ----------
        queries, k, probes
            What is asked for, and how many cells are looked at.
        allowed
            bool ``[m]``: what may be found.
        """
        items = np.full((len(queries), k), -1, np.int32)
        values = np.full((len(queries), k), NEVER, np.float32)
        for row, cells in enumerate(self.probed(queries, probes)):
            found, scores = self.look(queries[row], cells)
            if allowed is not None:
                kept = allowed[found]
                found, scores = found[kept], scores[kept]
            found, scores = best(found, scores, k)
            items[row, : len(found)], values[row, : len(found)] = found, scores
        return items, values


def best(codes: IntArray, scores: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """The ``k`` of largest score, or all where there are fewer, best first; ties by the lower code."""
    if len(codes) > k:
        bound = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = np.flatnonzero(scores >= bound)
        codes, scores = codes[kept], scores[kept]
    order = np.lexsort((codes, -scores))[:k]
    return codes[order], scores[order]
