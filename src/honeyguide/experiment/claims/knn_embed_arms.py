"""What is said of the candidates of a seed-56 cell: how many are right, how different, how fast."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.plugged import Plugged
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.load import load_data
from honeyguide.data.valid import ensure_valid
from honeyguide.plugins.knn_embed import Neighbours

N = 100  # candidates

Values = npt.NDArray[np.float64]


def gowalla() -> Dataset:
    """The split of LightGCN, with a valid part from its train, by which lambda is chosen."""
    return ensure_valid(load_data("gowalla-lightgcn"))


def recalls(lists: IntArray, truth: Ragged) -> Values:
    """float64 ``[n]``: share of each user's test items among the candidates."""
    return np.array([np.isin(t, row).mean() for row, t in zip(lists, truth, strict=True)])


def spread(lists: IntArray, directions: FloatArray) -> float:
    """Mean over lists of the mean pairwise cosine distance of their items."""
    each = []
    for row in lists:
        v = directions[row[row >= 0]]
        n = len(v)
        each.append(1 - ((v.sum(0) ** 2).sum() - (v**2).sum()) / (n * (n - 1)))
    return float(np.mean(each))


def arm(lists: IntArray, truth: Ragged, model: Plugged) -> dict[str, Any]:
    """What is said of candidates."""
    plugin: Any = model.plugins[0]
    covered = [len(np.unique(plugin.cells.labels[row[row >= 0]])) for row in lists]
    return {
        "recall": float(recalls(lists, truth).mean()),
        "recall@20": float(recalls(lists[:, :20], truth).mean()),
        "distance": spread(lists, plugin.directions),
        "clusters": float(np.mean(covered)),
        "catalogue": float(len(np.unique(lists[lists >= 0])) / len(plugin.directions)),
    }


def retrieved(model: Plugged, asked: Requests, **options: Any) -> IntArray:
    """Candidates with some options changed; clusters and groups stay."""
    plugin: Any = model.plugins[0]
    kept, plugin.config = plugin.config, plugin.config.model_copy(update=options)
    try:
        found: IntArray = plugin.retrieve(asked, N)[0]
    finally:
        plugin.config = kept
    return found


def exact(model: Plugged, data: Dataset, asked: Requests) -> IntArray:
    """As in the paper, with every training user a neighbour: in memory, never in an artifact."""
    plugin: Any = model.plugins[0]
    histories = data.histories("train")
    kept = plugin.neighbours
    sets = histories.to_csr(data.n_items)
    plugin.neighbours = Neighbours.users(model.user_vectors(histories), sets, plugin.config.neighbours)
    try:
        return retrieved(model, asked)
    finally:
        plugin.neighbours = kept


def active(model: Plugged, histories: Ragged) -> npt.NDArray[np.int64]:
    """int64 ``[n]``: clusters that hold a tenth or more of a user's items."""
    plugin: Any = model.plugins[0]
    labels, c = plugin.cells.labels, len(plugin.cells.centroids)
    mixtures = [np.bincount(labels[h], minlength=c) / max(1, len(h)) for h in histories]
    return np.array([(mixture >= 0.1).sum() for mixture in mixtures])


def popular(data: Dataset, asked: Requests) -> IntArray:
    """The most taken items that a user has not: the floor."""
    count = data.popularity("train")
    best = np.argsort(-count, kind="stable")
    return np.stack([best[~np.isin(best, seen)][:N] for seen in asked.excluded]).astype(np.int32)


def latency(model: Plugged, asked: Requests) -> dict[str, float]:
    """CPU-milliseconds of single requests."""
    plugin: Any = model.plugins[0]
    taken = []
    for row in range(min(100, len(asked))):
        one = asked.take(slice(row, row + 1))
        start = time.thread_time()
        plugin.retrieve(one, N)
        taken.append(1000 * (time.thread_time() - start))
    return {"p50": float(np.median(taken)), "p95": float(np.percentile(taken, 95))}
