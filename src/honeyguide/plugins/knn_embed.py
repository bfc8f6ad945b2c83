"""kNN-Embed: candidates for several interests, in proportion to a mixture smoothed over neighbours.

El-Kishky, Markovich, Leung et al. (arXiv 2205.06205). One vector a user finds the dominant interest again and again.
Here the items of a user and of alike users say which clusters of items to search, how much to take from each, and
around what. See ``docs/models/knn-embed.md``. Shapes: n requests, m items, C clusters, P groups of users, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field

from honeyguide.core.artifact import Arrays
from honeyguide.core.clusters import Cells, best, nearest_centroid, spherical_kmeans
from honeyguide.core.dataset import Dataset
from honeyguide.core.inner_product import unit
from honeyguide.core.plugin import Plugin, PluginConfig, Run
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Lists, Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Estimate
from honeyguide.core.topk import NEVER

Found = tuple[IntArray, FloatArray, npt.NDArray[np.int64]]  # items, their similarities, and the rows of components


class KNNEmbedConfig(PluginConfig):
    """Options of :class:`KNNEmbed`.

    Parameters
    ----------
    clusters
        C; ``None`` for half the square root of the number of items.
    neighbours
        K, users over whom a mixture is smoothed.
    members, least
        Users in a group on average, and at least: neighbours are looked up among groups, for a model keeps no user.
    smoothing
        ``lambda``: 0 for the user's own items alone, 1 for the neighbours' alone.
    components
        Interests that are searched at most.
    own
        Share of the user's own vector in every query: 0 as in the paper, 1 for the plain search.
    probes
        Clusters that a query looks into; ``None`` for all.
    order
        ``"score"``: the model ranks the candidates. ``"mixture"``: by the mixture times the similarity.
        ``"round-robin"``: the best of every interest in turn.
    seed
        Of the clusters.
    """

    clusters: int | None = Field(default=None, ge=1)
    neighbours: int = Field(default=30, ge=1)
    members: int = Field(default=8, ge=1)
    least: int = Field(default=5, ge=2)
    smoothing: float = Field(default=0.25, ge=0, le=1)
    components: int = Field(default=10, ge=1)
    own: float = Field(default=0.4, ge=0, le=1)
    probes: int | None = Field(default=24, ge=1)
    order: Literal["score", "mixture", "round-robin"] = "score"
    seed: int = 0


@dataclass(frozen=True)
class Neighbours:
    """Whose items smooth a mixture: groups of users, or, where nothing is kept, the users themselves.

    Parameters
    ----------
    vectors
        float32 ``[P, d]`` of length 1.
    sizes
        float32 ``[P]``, users.
    tastes
        float32 CSR ``[P, m]``: the mean of their distributions over items.
    near
        Rows that are asked for each user.
    """

    vectors: FloatArray
    sizes: FloatArray
    tastes: sp.csr_matrix
    near: int

    @classmethod
    def users(cls, vectors: FloatArray, sets: sp.csr_matrix, neighbours: int) -> Neighbours:
        """The exact form of the paper: every user with items is a neighbour of others. Never to be saved."""
        own = shares(sets)
        kept = np.flatnonzero(np.diff(own.indptr))
        return cls(unit(vectors[kept]), np.ones(len(kept), np.float32), own[kept], neighbours)

    @classmethod
    def groups(cls, vectors: FloatArray, sets: sp.csr_matrix, config: KNNEmbedConfig) -> Neighbours:
        """Clusters of users with ``least`` members or more; those of smaller ones go to the nearest that stays."""
        each = cls.users(vectors, sets, config.neighbours)
        n = len(each.vectors)
        centroids = spherical_kmeans(each.vectors, max(1, n // config.members), iterations=3, seed=config.seed)
        counts = np.bincount(nearest_centroid(each.vectors, centroids), minlength=len(centroids))
        centroids = centroids[counts >= config.least] if (counts >= config.least).any() else centroids[:1]
        labels = nearest_centroid(each.vectors, centroids)
        member = sp.csr_matrix((np.ones(n, np.float32), (labels, np.arange(n))), shape=(len(centroids), n))
        sizes = np.asarray(member.sum(1), np.float32).ravel()
        tastes = sp.diags(1 / np.maximum(sizes, 1)) @ (member @ each.tastes)
        near = max(1, round(config.neighbours / config.members))
        return cls(centroids, sizes, tastes.tocsr().astype(np.float32), near)

    def mean(self, users: FloatArray) -> sp.csr_matrix:
        """CSR ``[n, m]``: mean distribution over items of those nearest to ``users`` ``[n, d]``, weighed by size."""
        near, n = min(self.near, len(self.vectors)), len(users)
        rows, weights = np.empty((n, near), np.int64), np.empty((n, near), np.float32)
        for start in range(0, n, 1024):
            block = slice(start, start + 1024)
            likeness = users[block] @ self.vectors.T
            rows[block] = np.argpartition(-likeness, near - 1, axis=1)[:, :near]
        weights = self.sizes[rows]
        weights /= weights.sum(1, keepdims=True)
        places = np.arange(0, n * near + 1, near)
        return sp.csr_matrix((weights.ravel(), rows.ravel(), places), shape=(n, len(self.vectors))) @ self.tastes


def _joined(parts: Sequence[tuple[IntArray, FloatArray, int]]) -> Found:
    """Items and values of all components, and of which each is."""
    rows = np.repeat([row for *_, row in parts], [len(codes) for codes, *_ in parts]).astype(np.int64)
    codes = np.concatenate([*(codes for codes, *_ in parts), np.empty(0, np.int32)])
    values = np.concatenate([*(values for _, values, _ in parts), np.empty(0, np.float32)])
    return codes, values, rows


def shares(sets: sp.csr_matrix) -> sp.csr_matrix:
    """``p(i | u)``, one over the number of distinct items of u: CSR of the shape of ``sets``."""
    found = sp.csr_matrix((np.ones(len(sets.data), np.float32), sets.indices, sets.indptr), shape=sets.shape)
    found.data /= np.repeat(np.maximum(np.diff(sets.indptr), 1), np.diff(sets.indptr)).astype(np.float32)
    return found


def quotas(mixture: npt.NDArray[np.floating], n: int) -> npt.NDArray[np.int64]:
    """``n`` places in proportion to ``mixture``, by the largest remainder; ties go to the first."""
    exact = n * np.asarray(mixture, np.float64) / mixture.sum()
    found = np.floor(exact + 1e-9).astype(np.int64)
    found[np.argsort(found - exact, kind="stable")[: n - found.sum()]] += 1
    return np.asarray(found, np.int64)


class KNNEmbed(Plugin):
    """Retrieves candidates around several queries of a user.

    With ``a_u = (1 - lambda) p(i | u) + lambda mean_v p(i | v)`` over items, the mixture of the paper is its sum
    over a cluster, ``p(c | u) = sum_(i in c) a_ui``, and the query of a component its weighted centroid,
    ``q_uc = normalise(sum_(i in c) a_ui y_i / |y_i|)``.
    """

    name = "knn-embed"
    Config = KNNEmbedConfig
    config: KNNEmbedConfig
    needs = frozenset({"state"})

    def bind(self, model: Recommender) -> None:
        """Remember the model, whose vectors are searched."""
        self.model: Any = model

    def after_fit(self, data: Dataset, run: Run) -> None:
        """Clusters of the items as they were learnt, and groups of the users."""
        self.learn(data.histories("train"), data.n_items)

    def learn(self, histories: Ragged, n_items: int) -> None:
        """Clusters of the items that somebody took, and groups of the users with ``histories``."""
        wanted = self.config.clusters or max(1, round(n_items**0.5 / 2))
        taken = self.model.item_vectors()[np.unique(histories.values)]
        self._serve(spherical_kmeans(taken, wanted, seed=self.config.seed))
        vectors = self.model.user_vectors(histories)
        self.neighbours = Neighbours.groups(vectors, histories.to_csr(n_items), self.config)

    def _serve(self, centroids: FloatArray) -> None:
        vectors = self.model.item_vectors()
        self.cells, self.directions = Cells.of(vectors, centroids), unit(vectors)

    # -- while serving ------------------------------------------------------------------------

    def retrieve(self, requests: Requests, n: int) -> Lists:
        """``n`` candidates for each request, by ``order`` (of its own where the model ranks them), and their scores."""
        items = np.full((len(requests), n), -1, np.int32)
        scores = np.full((len(requests), n), NEVER, np.float32)
        users = unit(self.model.user_vectors(requests.histories))
        weights = self.item_weights(requests.histories, users)
        hidden = np.zeros(len(self.directions), np.bool_)
        for row, seen in enumerate(requests.excluded.known()):
            inside = slice(weights.indptr[row], weights.indptr[row + 1])
            hidden[seen] = True
            found, values = self._one(users[row], weights.indices[inside], weights.data[inside], n, hidden)
            items[row, : len(found)], scores[row, : len(found)] = found, values
            hidden[seen] = hidden[found] = False
        return items, scores

    def around_recommend(self, recommend: Callable[[Requests, int], Lists], requests: Requests, k: int) -> Lists:
        """The candidates themselves, unless the model ranks them or the caller names candidates."""
        own = self.config.order != "score" and requests.candidates is None
        return self.retrieve(requests, k) if own else recommend(requests, k)

    def item_weights(self, histories: Ragged, users: FloatArray) -> sp.csr_matrix:
        """``a_u`` over items, CSR ``[n, m]``; who has no items gets the mean of all groups."""
        c, sets = self.config, histories.to_csr(len(self.directions))
        empty = np.diff(sets.indptr) == 0
        smoothing = np.where(empty, 1.0, c.smoothing).astype(np.float32)
        found = sp.diags(1 - smoothing) @ shares(sets)
        if smoothing.any():
            found = found + sp.diags(smoothing * ~empty) @ self.neighbours.mean(users)
        if empty.any():
            everybody = self.neighbours.sizes @ self.neighbours.tastes / self.neighbours.sizes.sum()
            found = found + sp.csr_matrix(empty[:, None].astype(np.float32)) @ sp.csr_matrix(everybody[None])
        return found.tocsr().astype(np.float32)

    def _components(
        self, user: FloatArray, items: IntArray, weights: FloatArray
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """Clusters, their mixture, and queries ``[components, d]``, the greatest first."""
        labels = self.cells.labels[items]
        mixture = np.bincount(labels, weights, len(self.cells.centroids))
        top = np.argsort(-mixture, kind="stable")[: self.config.components]
        top = top[mixture[top] > 0]
        place = np.full(len(mixture), -1)
        place[top] = np.arange(len(top))
        used = place[labels] >= 0
        member = sp.csr_matrix((weights[used], (place[labels[used]], np.arange(used.sum()))), (len(top), used.sum()))
        queries = unit(member @ self.directions[items[used]])
        own = np.float32(self.config.own)
        queries = (1 - own) * queries + own * user  # not made unit again: with own = 1 it is the user's vector itself
        return top.astype(np.int32), (mixture[top] / mixture[top].sum()).astype(np.float32), queries

    def _one(
        self,
        user: FloatArray,
        items: IntArray,
        weights: FloatArray,
        n: int,
        hidden: npt.NDArray[np.bool_],
    ) -> tuple[IntArray, FloatArray]:
        """At most ``n`` items that are not ``hidden`` ``[m]``, and their scores, for one user; then they are hidden."""
        clusters, mixture, queries = self._components(user, items, weights)
        probed = self.cells.probed(queries, self.config.probes or len(self.cells.centroids))
        chosen: list[tuple[IntArray, FloatArray, int]] = []
        left: list[tuple[IntArray, FloatArray, int]] = []
        for row, quota in enumerate(quotas(mixture, n) if len(clusters) else ()):
            cells = probed[row] if clusters[row] in probed[row] else np.append(probed[row], clusters[row])
            codes, values = self.cells.look(queries[row], cells)
            free = ~hidden[codes]
            codes, values = best(codes[free], values[free], n)
            hidden[codes[:quota]] = True
            chosen.append((codes[:quota], values[:quota], row))
            left.append((codes[quota:], values[quota:], row))
        found = _joined(chosen)
        more = self._refill(_joined(left), n - len(found[0]), hidden)
        codes, values = np.concatenate([found[0], more[0]]), np.concatenate([found[1], more[1]])
        return self._arrange(codes, values, np.concatenate([found[2], more[2]]), mixture)

    def _refill(self, left: Found, n: int, hidden: npt.NDArray[np.bool_]) -> Found:
        """The ``n`` next best of all components, each item once."""
        codes, values, rows = left
        order = np.lexsort((codes, -values))
        order = order[~hidden[codes[order]]]
        first = np.sort(np.unique(codes[order], return_index=True)[1])[: max(0, n)]
        kept = order[first]
        hidden[codes[kept]] = True
        return codes[kept], values[kept], rows[kept]

    def _arrange(
        self, items: IntArray, values: FloatArray, rows: npt.NDArray[np.int64], mixture: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """The final order: by the mixture times the similarity, or the best of every component in turn."""
        scores = mixture[rows] * values
        order = np.lexsort((items, -scores))
        if self.config.order == "round-robin":
            turn = np.empty(len(rows), np.int64)
            for row in range(len(mixture)):
                own = np.flatnonzero(rows == row)
                turn[own[np.argsort(-values[own], kind="stable")]] = np.arange(len(own))
            order = np.lexsort((rows, turn))
            scores = np.empty(len(rows), np.float32)
            scores[order] = -np.arange(len(rows), dtype=np.float32)
        return items[order], scores[order]

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """Groups of users: five passes of all against all groups."""
        n, groups = data.n_users, max(1, data.n_users // self.config.members)
        memory = 12.0 * data.interactions.height + 4.0 * 128 * (data.n_items + groups) + 4.0 * 4096 * groups
        return Estimate(inner.memory_bytes + memory, inner.cpu_seconds + 7e-11 * 64 * 6 * n * groups + 1e-4 * n)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Centroids of items, and what groups of users take."""
        near = self.neighbours
        arrays: Arrays = {"centroids": self.cells.centroids, "groups": near.vectors, "sizes": near.sizes}
        parts = {"data": near.tastes.data, "indices": near.tastes.indices, "indptr": near.tastes.indptr}
        return {**arrays, **{f"tastes.{name}": value for name, value in parts.items()}}, {"near": near.near}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        """Undo :meth:`state`."""
        self._serve(np.array(arrays["centroids"]))
        parts = tuple(np.array(arrays[f"tastes.{name}"]) for name in ("data", "indices", "indptr"))
        tastes = sp.csr_matrix(parts, shape=(len(arrays["sizes"]), len(self.directions)))
        self.neighbours = Neighbours(np.array(arrays["groups"]), np.array(arrays["sizes"]), tastes, meta["near"])
