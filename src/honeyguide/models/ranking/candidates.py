"""What several retrieval models say of their best items: the candidates of a re-ranker, and their features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import Change
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.topk import exclude_in_place, top_k
from honeyguide.models.parts import scores_of_part
from honeyguide.models.ranking.features import PRIOR, item_trends

BLOCK = 64  # histories scored at once, always: see Retrieval.blocks
_LONG = 100  # latest events of a history among which repeats are looked for


@dataclass(frozen=True)
class Pool:
    """The candidates of ``n`` users, sorted by user and then by item.

    Parameters
    ----------
    rows, items
        int64 and int32 ``[c]``: user and item of each candidate.
    features
        float32 ``[c, F]``, see :attr:`Retrieval.names`.
    """

    rows: npt.NDArray[np.int64]
    items: IntArray
    features: FloatArray

    def take(self, kept: npt.NDArray[np.bool_]) -> Pool:
        """The marked candidates."""
        return Pool(self.rows[kept], self.items[kept], self.features[kept])


@dataclass(frozen=True)
class Retrieval:
    """Fitted retrieval models and what the log says of the items.

    Parameters
    ----------
    sources
        The models; the first also orders what is no candidate.
    counts, trends
        float32 ``[n_items]``: train events of each item, and how late they are.
    per_source
        Candidates that each source gives.
    repeats
        Whether the items of the history are candidates too.
    """

    sources: Sequence[Recommender]
    counts: FloatArray
    trends: FloatArray
    per_source: int
    repeats: bool

    @classmethod
    def of(cls, sources: Sequence[Recommender], data: Dataset, per_source: int, repeats: bool) -> Retrieval:
        """Sources that were fitted on ``data``, with the statistics of its part train."""
        train = data.select("train").interactions
        trends = item_trends(train, data.n_items, data.ordered)
        return cls(sources, data.popularity("train"), trends, per_source, repeats)

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        of_sources = [f"{s.name} {what}" for s in self.sources for what in ("score", "z-score", "rank")]
        return [*of_sources, "sources", "popularity", "trend", "history length", "repeats", "last seen"]

    def blocks(self, histories: Ragged) -> list[Ragged]:
        """The known items of the histories in runs of exactly ``BLOCK``, the last filled up with empty ones.

        A matrix product rounds differently for another number of rows, and trees turn a rounding into a jump:
        with blocks of one size, the scores of a user do not depend on who else is asked for.
        """
        missing = -len(histories) % BLOCK
        full = histories.known().concat_rows(Ragged.empty(missing))
        return [full.take(slice(start, start + BLOCK)) for start in range(0, len(full), BLOCK)]

    def scores(self, source: Recommender, histories: Ragged) -> FloatArray:
        """float32 ``[n, n_items]``; items that came after a source that cannot be updated are its last ones.

        They get the lowest score, and ties go to the lower code: what the trees have seen of items that nobody took.
        """
        known = scores_of_part(source, histories)
        missing = np.repeat(known.min(axis=1, keepdims=True), len(self.counts) - known.shape[1], axis=1)
        return np.concatenate([known, missing], axis=1)

    def updated(self, change: Change) -> Retrieval:
        """With the events of ``change`` counted; new ones are taken for the latest of the log."""
        more = change.n_items - len(self.counts)
        counts, trends = np.pad(self.counts, (0, more)), np.pad(self.trends, (0, more), constant_values=0.5)
        moved = change.moved()
        weight = np.maximum(counts + moved, 0) + PRIOR
        if (trends != 0.5).any():  # else nothing is known of order
            trends = ((counts + PRIOR) * trends + moved) / weight
        return replace(self, counts=counts + moved, trends=np.clip(trends, 0, 1).astype(np.float32))

    def pool(self, histories: Ragged) -> tuple[Pool, FloatArray]:
        """Candidates and features of one block, and the scores of the first source ``[BLOCK, n_items]``."""
        scores = [self.scores(source, histories) for source in self.sources]  # [BLOCK, m] each
        m = len(self.counts)
        keys = [np.empty(0, np.int64)]
        for found in scores:
            unseen = found.copy()
            exclude_in_place(unseen, histories)
            top, _ = top_k(unseen, min(self.per_source, m))
            row, place = np.nonzero(top >= 0)
            keys.append(row * m + top[row, place])
        if self.repeats:
            recent = histories.last(_LONG)
            keys.append(recent.rows * m + recent.values)
        rows, items = np.divmod(np.unique(np.concatenate(keys)), m)
        columns = self._of_sources(scores, rows, items) + self._of_log(histories, rows, items, m)
        return Pool(rows, items.astype(np.int32), np.stack(columns, axis=1).astype(np.float32)), scores[0]

    def pools(self, histories: Ragged) -> Pool:
        """The candidates of any number of users."""
        found = [self.pool(block)[0] for block in self.blocks(histories)]
        rows = [pool.rows + i * BLOCK for i, pool in enumerate(found)]
        if not found:
            return Pool(np.empty(0, np.int64), np.empty(0, np.int32), np.empty((0, len(self.names)), np.float32))
        pool = Pool(
            np.concatenate(rows), np.concatenate([p.items for p in found]), np.concatenate([p.features for p in found])
        )
        return pool.take(pool.rows < len(histories))

    def _of_sources(
        self, scores: Sequence[FloatArray], rows: npt.NDArray[np.int64], items: npt.NDArray[np.int64]
    ) -> list[npt.NDArray[np.floating]]:
        """Of every source its score, its z-score over the catalogue and the rank in the pool; then how many agree."""
        starts = np.searchsorted(rows, np.arange(BLOCK))
        columns: list[npt.NDArray[np.floating]] = []
        agreed = np.zeros(len(rows))
        for found in scores:
            values = found[rows, items].astype(np.float64)
            mean, deviation = found.mean(1, dtype=np.float64), found.std(1, dtype=np.float64)
            order = np.lexsort((items, -values, rows))
            rank = np.empty(len(rows), np.int64)
            rank[order] = np.arange(len(rows)) - starts[rows]
            columns += [values, (values - mean[rows]) / (deviation[rows] + 1e-9), np.log1p(rank)]
            agreed += rank < self.per_source
        return [*columns, agreed]

    def _of_log(
        self, histories: Ragged, rows: npt.NDArray[np.int64], items: npt.NDArray[np.int64], m: int
    ) -> list[npt.NDArray[np.floating]]:
        """Popularity and trend of the item, length of the history, how often and how lately the item is in it."""
        events, ages = histories.rows * m + histories.values, histories.ages()
        distinct, event = np.unique(events, return_inverse=True)
        times = np.bincount(event, minlength=len(distinct))
        last = np.full(len(distinct), np.iinfo(np.int64).max)
        np.minimum.at(last, event, ages)
        repeats, seen = np.zeros(len(rows)), np.full(len(rows), -1.0)
        key = rows * m + items
        at = np.searchsorted(distinct, key)
        hit = np.flatnonzero(at < len(distinct))
        hit = hit[distinct[at[hit]] == key[hit]]
        repeats[hit], seen[hit] = np.log1p(times[at[hit]]), np.log1p(last[at[hit]])
        return [np.log1p(self.counts[items]), self.trends[items], np.log1p(histories.lengths[rows]), repeats, seen]
