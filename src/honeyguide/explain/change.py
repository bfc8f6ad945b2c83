"""What would change a recommendation: the fewest events without which the item leaves the top of the list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.explain.because import without

_TRIED = 32  # items of the history that are tried at each step, those that add most to the score


@dataclass(frozen=True)
class Change:
    """Items of a history without which a recommended item leaves the first ``k`` places.

    Parameters
    ----------
    item
        Code of the recommended item.
    removed
        Codes of the items to take out of the history, in the order in which they were found.
    k
        Places that count.
    rank, rank_without
        The item's place (from 1) among all items outside the history, before, and without ``removed``.
    smallest
        Whether it is certain that fewer do not suffice; else only that none of ``removed`` is superfluous.
    """

    item: int
    removed: IntArray
    k: int
    rank: int
    rank_without: int
    smallest: bool

    @property
    def found(self) -> bool:
        """Whether the item does leave: it was in the first ``k`` places, and is not without ``removed``."""
        return self.rank <= self.k < self.rank_without


def what_would_change(model: Recommender, history: IntArray, item: int, k: int = 10, most: int = 8) -> Change:
    """The fewest items of ``history`` without which ``item`` is not among the ``k`` best; every step is scored.

    One item alone is looked for first, among the 32 that add most to the score. Where none suffices, that one is taken
    away that sets the item furthest back, and so on; at the end those that turn out to be superfluous are put back.

    Parameters
    ----------
    model
        A fitted model.
    history
        int32 item codes, oldest first; nothing of it is recommended, whatever is taken out.
    item
        Code of a recommended item.
    k
        Places that count. An item that stands lower cannot leave them: then nothing is removed.
    most
        At most so many items are taken away.
    """
    history = history[history >= 0]
    ranks = _Ranks(model, history, item)
    whole = ranks.of([history[:0]])[0]
    candidates = _candidates(model, history, item)
    chosen: list[int] = []
    rank = int(whole)
    while len(candidates) and rank <= k and len(chosen) < most and whole <= k:
        left = [code for code in candidates if code not in chosen]
        if not left:
            break
        found = ranks.of([np.array([*chosen, code], np.int32) for code in left])
        best = int(np.argmax(found))  # the first of equals adds most
        chosen.append(left[best])
        rank = int(found[best])
    if rank <= k or not chosen:
        return Change(item, np.empty(0, np.int32), k, int(whole), int(whole), False)
    chosen, rank = _pruned(ranks, chosen, rank, k)
    everything = len(np.unique(history)) <= len(candidates)
    certain = len(chosen) == 1 or (len(chosen) == 2 and everything)  # all single ones were tried
    return Change(item, np.array(chosen, np.int32), k, int(whole), rank, certain)


def _pruned(ranks: _Ranks, chosen: list[int], rank: int, k: int) -> tuple[list[int], int]:
    """``chosen`` without those that are not needed; each is tried once, the first found first."""
    for code in list(chosen[:-1]) if len(chosen) > 1 else []:
        fewer = [other for other in chosen if other != code]
        without_it = int(ranks.of([np.array(fewer, np.int32)])[0])
        if without_it > k:
            chosen, rank = fewer, without_it
    return chosen, rank


def _candidates(model: Recommender, history: IntArray, item: int) -> list[int]:
    """Items of the history, those that add most to the score first."""
    if not len(history):
        return []
    codes, inverse = np.unique(history, return_inverse=True)
    sums = np.bincount(inverse, weights=model.contributions(history, item))
    return [int(code) for code in codes[np.argsort(-sums, kind="stable")][:_TRIED]]


class _Ranks:
    """Places of an item when parts of a history are taken away."""

    def __init__(self, model: Recommender, history: IntArray, item: int) -> None:
        self._model, self._history, self._item = model, history, item
        self._rivals: npt.NDArray[np.bool_] | None = None

    def of(self, removed: list[IntArray]) -> npt.NDArray[np.int64]:
        """int64 ``[n]``: the place among the items outside the whole history, without each of ``removed``."""
        kept = [without(self._history, codes) for codes in removed]
        scores: FloatArray = self._model.score_histories(Ragged.from_lists(kept))  # [n, n_items]
        if self._rivals is None:
            self._rivals = np.ones(scores.shape[1], np.bool_)
            self._rivals[self._history] = False
        above = (scores > scores[:, self._item, None]) & self._rivals
        ranks: npt.NDArray[np.int64] = above.sum(axis=1) + 1
        return ranks
