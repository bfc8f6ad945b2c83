"""Ranking the whole catalogue for held-out items: what model selection and evaluation share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.topk import NEVER, demote_in_place, exclude_in_place, top_k

ScoreFunction = Callable[[Ragged, IntArray], FloatArray]

_BLOCK = 1 << 22  # scores held at once: 16 MiB, which the allocator keeps and reuses


def drawn_users(truth: Ragged, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows with a held-out item: all in rising order, or ``most`` of them as drawn with ``seed``."""
    users = np.flatnonzero(truth.lengths)
    return users if len(users) <= most else np.random.default_rng(seed).choice(users, most, replace=False)


def of_scores(scores: FloatArray) -> ScoreFunction:
    """A function for :func:`rank_catalogue` of scores ``[n, n_items]`` that are there already; they are not changed."""
    return lambda _, rows: scores[rows].copy()


def rank_catalogue(
    score: ScoreFunction,
    histories: Ragged,
    truth: Ragged,
    k: int,
    *,
    remove_seen: bool = True,
    candidates: Ragged | None = None,
) -> IntArray:
    """Top-k lists for every user, with ties broken against the relevant items.

    Parameters
    ----------
    score
        ``score(histories, users)`` gives float32 ``[n, n_items]`` that may be overwritten;
        a model's ``score_histories`` is one.
    histories, truth
        One list per user code.
    k
        Length of the lists.
    remove_seen
        Never return items of the history.
    candidates
        The items to choose from, one list per user; all where not given.

    Returns
    -------
    ndarray
        int32 ``[n_users, k]``, padded with -1.
    """
    n = len(histories)
    lists = np.full((n, k), -1, np.int32)
    step, start = 256, 0
    while start < n:
        rows = slice(start, min(n, start + step))
        users = np.arange(rows.start, rows.stop, dtype=np.int32)
        scores = score(histories.take(rows), users)
        if remove_seen:
            exclude_in_place(scores, histories.take(rows))
        if candidates is not None:
            scores[candidates.take(rows).to_csr(scores.shape[1]).toarray() == 0] = NEVER
        demote_in_place(scores, truth.take(rows))
        lists[rows], _ = top_k(scores, k)
        start, step = rows.stop, max(1, _BLOCK // scores.shape[1])
    return lists


def rank_lists(model: Recommender, histories: Ragged, truth: Ragged, k: int, *, remove_seen: bool = True) -> IntArray:
    """The lists of a model: by its scores as in :func:`rank_catalogue`, or as it makes them where scores do not tell.

    Parameters
    ----------
    model
        Fitted.
    histories, truth, k, remove_seen
        As in :func:`rank_catalogue`.
    """
    if model.ranks_by_score:
        return rank_catalogue(model.score_histories, histories, truth, k, remove_seen=remove_seen)
    exclude = None if remove_seen else Ragged.empty(len(histories))
    return model.recommend(Requests(histories, exclude=exclude), k).items


def model_ndcg(model: Recommender, histories: Ragged, truth: Ragged, k: int = 10) -> npt.NDArray[np.float64]:
    """As :func:`holdout_ndcg`, of the lists of a model."""
    asked = np.flatnonzero(truth.lengths)
    histories, truth = histories.take(asked), truth.take(asked)
    return ndcg_of_lists(rank_lists(model, histories, truth, k), truth, k)


def holdout_ndcg(
    score: ScoreFunction,
    histories: Ragged,
    truth: Ragged,
    k: int = 10,
    *,
    remove_seen: bool = True,
    weights: FloatArray | None = None,
) -> npt.NDArray[np.float64]:
    """Binary NDCG@k of every user who has a held-out item, in user order.

    Parameters
    ----------
    score, histories, truth, k, remove_seen
        As in :func:`rank_catalogue`.
    weights
        One for every value of ``truth``, where the DCG normalised by their sum over all users is wanted instead:
        the mean of what is returned.
    """
    asked = np.flatnonzero(truth.lengths)
    histories, truth = histories.take(asked), truth.take(asked)
    lists = rank_catalogue(
        lambda h, u: score(h, asked[u].astype(np.int32)), histories, truth, k, remove_seen=remove_seen
    )
    return ndcg_of_lists(lists, truth, k) if weights is None else _weighed_dcg(lists, truth, weights, k)


def ndcg_of_lists(lists: IntArray, truth: Ragged, k: int) -> npt.NDArray[np.float64]:
    """Binary NDCG@k of lists ``[n, k]``, float64 ``[n]``; every row has a held-out item."""
    hits, n_relevant = _hits(lists, truth)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    values: npt.NDArray[np.float64] = hits @ discounts / ideal[np.minimum(n_relevant, k)]
    return values


def recall_of_lists(lists: IntArray, truth: Ragged) -> npt.NDArray[np.float64]:
    """Recall of lists ``[n, k]``, float64 ``[n]``; every row has a held-out item."""
    hits, n_relevant = _hits(lists, truth)
    values: npt.NDArray[np.float64] = hits.sum(axis=1) / n_relevant
    return values


def _hits(lists: IntArray, truth: Ragged) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Which places of ``lists`` ``[n, k]`` hold something held out, and how many items are: ``[n]``."""
    n_items = int(max(lists.max(initial=0), truth.values.max(initial=0))) + 1
    relevant = np.unique(truth.rows * n_items + truth.values)  # (user, item) pairs as one number
    pairs = np.arange(len(truth))[:, None] * n_items + lists
    hits = np.isin(pairs, relevant) & (lists >= 0)
    return hits, np.bincount(relevant // n_items, minlength=len(truth))


def _weighed_dcg(lists: IntArray, truth: Ragged, weights: FloatArray, k: int) -> npt.NDArray[np.float64]:
    """Terms whose mean is ``sum h_r w_r d_r / sum w`` over all users together."""
    from honeyguide.metrics.unbiased import dcg_snips

    own = np.bincount(truth.rows, weights, minlength=len(truth))
    chances = np.asarray(1 / weights, np.float32)
    values: npt.NDArray[np.float64] = dcg_snips(lists, truth, chances, k, least=0.0) * own / own.mean()
    return values
