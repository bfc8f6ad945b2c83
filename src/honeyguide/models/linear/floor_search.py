"""The fixed grid of the linear floor, scored on valid with every product shared that can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.core.topk import NEVER, exclude_in_place
from honeyguide.models.linear.item_weights import ItemWeights, distinct
from honeyguide.models.linear.transitions import Normalisation, recent_events

_BLOCK = 1 << 20  # scores of one block of users: 4 MiB for each matrix at work
_PAIRS = 1 << 12
SEARCHED = 1 << 30  # users times items that the search scores at most, at each point of the grid


def search_grid(
    transitions: Mapping[Normalisation, sp.csr_matrix],
    cosines: sp.csr_matrix,
    histories: Ragged,
    truth: Ragged,
    decays: tuple[float, ...],
    mixes: tuple[float, ...],
    k: int = 10,
) -> list[dict[str, Any]]:
    """NDCG@k of every point of the grid over the users with a held-out item.

    Where these times the items are more than ``SEARCHED``, over a seeded sample of them (some ten thousand on
    a catalogue of a hundred thousand): every point is scored on the same users, and they choose it well enough.

    Seen items are removed and ties are pessimistic. A held-out item that no event of its user's
    history reaches scores 0, as does almost every other item, so it is counted as not found; users
    without a reachable one are never scored.

    Parameters
    ----------
    transitions
        ``M`` for each normalisation.
    cosines
        ``C``.
    histories, truth
        One list per user.
    decays, mixes
        The rest of the grid.
    k
        Length of the lists.

    Returns
    -------
    list of dict
        ``normalisation, decay, mix``, ``users`` (how many had their say) and ``ndcg@k``, in the order of the grid.
    """
    n_items = cosines.shape[0]
    asked = sampled(np.flatnonzero(truth.lengths), n_items)
    pattern = (cosines + next(iter(transitions.values()))).T.tocsr()
    rows = asked[_reachable(histories.take(asked), truth.take(asked), pattern)]
    forward = {name: ItemWeights.of(matrix) for name, matrix in transitions.items()}
    similar = ItemWeights.of(cosines)
    totals = {(name, decay, mix): 0.0 for name in forward for decay in decays for mix in mixes}
    step = max(1, _BLOCK // n_items)
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        seen, held_out = histories.take(block), _as_sets(truth.take(block), n_items)
        for decay in decays:
            events = recent_events(seen, n_items, decay)
            c = similar.score(events)  # [n, n_items]
            for name, weights in forward.items():
                m = weights.score(events)
                exclude_in_place(m, seen)
                for mix in mixes:
                    totals[name, decay, mix] += float(_ndcg(m + np.float32(mix) * c, held_out, k).sum())
    n = max(1, len(asked))
    return [
        {"normalisation": name, "decay": decay, "mix": mix, "users": len(asked), f"ndcg@{k}": total / n}
        for (name, decay, mix), total in totals.items()
    ]


def sampled(users: npt.NDArray[np.int64], n_items: int) -> npt.NDArray[np.int64]:
    """``users``, or so many of them, drawn at random with a fixed seed, that the search stays affordable."""
    limit = max(1, SEARCHED // n_items)
    return users if len(users) <= limit else np.sort(np.random.default_rng(0).choice(users, limit, replace=False))


def _as_sets(lists: Ragged, n_items: int) -> Ragged:
    unique = distinct(lists, n_items)
    return Ragged(unique.indptr.astype(np.int64), unique.indices.astype(np.int32))


def _reachable(histories: Ragged, truth: Ragged, pattern: sp.csr_matrix) -> npt.NDArray[np.bool_]:
    """Whether some event i of each history has ``pattern[t, i]`` for some held-out item t: bool ``[n]``."""
    events = distinct(histories, pattern.shape[0])
    users, items = truth.rows, truth.values
    found = np.zeros(len(histories), bool)
    for start in range(0, len(users), _PAIRS):
        pairs = slice(start, start + _PAIRS)
        overlap = events[users[pairs]].multiply(pattern[items[pairs]])
        found[users[pairs][np.diff(overlap.tocsr().indptr) > 0]] = True
    return found


def _ndcg(scores: FloatArray, truth: Ragged, k: int) -> npt.NDArray[np.float64]:
    """Binary NDCG@k of each row from the ranks of the held-out items alone; ``scores`` is overwritten."""
    rows, items = truth.rows, truth.values
    own = scores[rows, items]
    scores[rows, items] = NEVER
    others = scores if len(rows) == len(scores) else scores[rows]  # one each in leave-last-out
    ahead = np.count_nonzero(others >= own[:, None], axis=1)
    order = np.lexsort((items, -own, rows))  # the place of a held-out item among those of its user
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - truth.offsets[rows]
    rank = ahead + place + 1
    gains = np.where((rank <= k) & (own > NEVER), 1.0 / np.log2(1.0 + rank), 0.0)
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))
    found = np.bincount(rows, gains, len(truth))
    values: npt.NDArray[np.float64] = found / ideal[np.clip(truth.lengths, 1, k) - 1]
    return values
