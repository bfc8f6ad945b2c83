"""Interleaving: one list from two orders, so that every visitor compares them.

Symbols: rankers A and B, their items ``A_1 A_2 ..`` and ``B_1 B_2 ..``; *credit* of a place: the share of A in it.
The *chance* of a place is the probability of its item given the items above, over everything else that was random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.metrics.arrays import Vector
from honeyguide.pipeline.explore import Drawn, generator
from honeyguide.pipeline.pipeline import Order

Method = Literal["team-draft", "probabilistic"]
DEPTH = 50  # places that are drawn; what comes after is A's rest, then B's
_TAU = 3.0  # of the softmax over ranks, as Hofmann et al. have it

Places = tuple[list[int], list[float], list[float]]  # items, chances, credits


def interleave(a: Order, b: Order, method: Method, seed: str, depth: int = DEPTH) -> tuple[Order, Drawn]:
    """Join two orders of the same items' codes.

    Parameters
    ----------
    a, b
        Of the two rankers.
    method
        ``"team-draft"`` (Radlinski et al. 2008) or ``"probabilistic"`` (Hofmann et al. 2011).
    seed
        The same seed draws the same list.
    depth
        Places that are drawn.
    """
    random = generator(seed)
    join = team_draft if method == "team-draft" else probabilistic
    items, chance, credit = join(a.items.tolist(), b.items.tolist(), depth, random.random)
    whole = np.array(list(dict.fromkeys((*items, *a.items.tolist(), *b.items.tolist()))), np.int32)
    head = np.array(list(dict.fromkeys((*a.items[:depth].tolist(), *b.items[:depth].tolist()))), np.int32)
    drawn = Drawn(head, np.array(chance), np.full(len(items), np.nan), np.array(credit))
    return Order(whole, _scores(whole, a, b), (*a.trace, *b.trace)), drawn


def team_draft(a: Sequence[int], b: Sequence[int], depth: int, toss: Callable[[], float]) -> Places:
    """Team-draft interleaving (Radlinski et al. 2008, algorithm 2).

    In every round a coin says who picks first; each team adds its best item that is not in the list. A click
    counts for the team that picked the item. Given the items, who picked first is a hidden state: the
    chance of a place is a sum over its two values.

    Parameters
    ----------
    a, b
        Items of the rankers, best first.
    depth
        Places to fill.
    toss
        A uniform number in [0, 1).
    """
    items: list[int] = []
    chance: list[float] = []
    credit: list[float] = []
    taken: set[int] = set()
    turn, behind = 0.5, False  # P(A picks next | the items so far); whether a team has picked in this round
    a_next = False
    while len(items) < depth:
        first, second = _best(a, taken), _best(b, taken)
        if first is None and second is None:
            break
        a_next = (not a_next) if behind else toss() < 0.5
        a_picks = first is not None and (a_next or second is None)
        item = first if a_picks else second
        assert item is not None
        by_a = turn if second is not None else 1.0
        by_b = 1 - turn if first is not None else 1.0
        p = by_a * (item == first) + by_b * (item == second)
        items.append(item)
        chance.append(p)
        credit.append(float(a_picks))
        taken.add(item)
        # the other team is next in this round: P(B picked this one | the items), by Bayes; else a new coin
        turn = 0.5 if behind else (by_b * (item == second)) / p
        behind = not behind
    return items, chance, credit


def probabilistic(a: Sequence[int], b: Sequence[int], depth: int, toss: Callable[[], float]) -> Places:
    """Probabilistic interleaving (Hofmann et al. 2011): each place by a coin from one of two softmax functions.

    ``P_A(d) ∝ rank_A(d)^-3`` over what is not in the list yet; an item that a ranker has not is behind all of its own.
    Given the list the coins are independent, and a click on d counts ``P_A(d) / (P_A(d) + P_B(d))`` for A: the
    expectation over all coins that may have been (their section 3.3).

    Parameters
    ----------
    a, b, depth, toss
        As in :func:`team_draft`.
    """
    pool = list(dict.fromkeys((*a[:depth], *b[:depth])))
    weight_a, weight_b = _by_rank(a, pool), _by_rank(b, pool)
    items: list[int] = []
    chance: list[float] = []
    credit: list[float] = []
    for _ in range(min(depth, len(pool))):
        p_a, p_b = weight_a / weight_a.sum(), weight_b / weight_b.sum()
        both = (p_a + p_b) / 2
        place = min(int(np.searchsorted(np.cumsum(both), toss() * both.sum(), side="right")), len(pool) - 1)
        items.append(pool[place])
        chance.append(float(both[place]))
        credit.append(float(p_a[place] / (p_a[place] + p_b[place])))
        weight_a[place] = weight_b[place] = 0.0
    return items, chance, credit


def _by_rank(ranked: Sequence[int], pool: Sequence[int]) -> Vector:
    rank = {item: place for place, item in enumerate(ranked, start=1)}
    return np.array([rank.get(item, len(ranked) + 1) ** -_TAU for item in pool], np.float64)


def _best(ranked: Sequence[int], taken: set[int]) -> int | None:
    return next((item for item in ranked if item not in taken), None)


def _scores(items: IntArray, a: Order, b: Order) -> FloatArray:
    """Of A where it has the item, else of B."""
    known = dict(zip(b.items.tolist(), b.scores.tolist(), strict=True))
    known |= dict(zip(a.items.tolist(), a.scores.tolist(), strict=True))
    return np.array([known[item] for item in items.tolist()], np.float32)
