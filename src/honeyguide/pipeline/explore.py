"""Exploration: the head of an order is drawn at random, with probabilities that are known exactly.

Symbols: the d free places of the head hold the items 0 .. d-1 in the order that the stages before made; a drawn list
puts item ``a_l`` at place l. Its *chance* is ``P(a_l at l | a_1 .. a_{l-1})``, the product of which is the probability
of the list; its *propensity* is ``P(a_l at l)``, whatever stands above. With both, the log of what was shown tells
what another order would have been worth (:mod:`honeyguide.metrics.offpolicy`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from honeyguide.core.ragged import IntArray
from honeyguide.metrics.arrays import Index, Mask, Vector
from honeyguide.pipeline.config import Explore
from honeyguide.pipeline.pipeline import Order


@dataclass(frozen=True, eq=False)
class Drawn:
    """How the head of an order came about; behind it every place is certain.

    Parameters
    ----------
    head
        int32: what was drawn among, as it stood before.
    chance
        float64 ``[d]``: of the item at each place, given those above.
    propensity
        float64 ``[d]``: of the item at each place; NaN where it is not known.
    credit
        float64 ``[d]``: share of the first of two interleaved orders in each place; ``None`` for one order.
    """

    head: IntArray
    chance: Vector
    propensity: Vector
    credit: Vector | None = None

    def unknown(self) -> Drawn:
        """The same after places have moved in an unknown way: nothing is claimed of them."""
        lost = np.full(len(self.chance), np.nan)
        return Drawn(self.head[:0], lost, lost, lost)


def explore(order: Order, how: Explore, seed: str, fixed: IntArray) -> tuple[Order, Drawn | None]:
    """Draw the head of an order.

    Parameters
    ----------
    order
        As the stages made it.
    how
        What is drawn.
    seed
        The same seed draws the same list.
    fixed
        Item codes that stay at their places: what is pinned.
    """
    d = min(how.depth, len(order.items))
    free = np.flatnonzero(~np.isin(order.items[:d], fixed))
    if how.method == "none" or len(free) < 2:
        return order, None
    drawn = draw(how, len(free), generator(seed))
    chance, propensity = np.ones(d), np.ones(d)
    chance[free] = chances(how, drawn)
    propensity[free] = propensities(how, len(free))[drawn, np.arange(len(free))]
    places = np.arange(len(order.items))
    places[free] = free[drawn]
    made = replace(order, items=order.items[places], scores=order.scores[places])
    return made, Drawn(order.items[free], chance, propensity)


def generator(seed: str) -> np.random.Generator:
    """Random numbers that depend on ``seed`` alone, on every machine."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=16).digest())))


def draw(how: Explore, d: int, random: np.random.Generator) -> Index:
    """Which item stands at each place: int64 ``[d]``."""
    if how.method == "epsilon":
        return random.permutation(d) if random.random() < how.epsilon else np.arange(d)
    keys = np.log(_weights(d, how.temperature)) + random.gumbel(size=d)  # sorted they are a Plackett-Luce draw
    return np.argsort(-keys, kind="stable")


def chances(how: Explore, drawn: Index) -> Vector:
    """``P(a_l at l | a_1 .. a_{l-1})`` of a drawn list, float64 ``[d]``."""
    d = len(drawn)
    if how.method == "softmax":
        w = _weights(d, how.temperature)[drawn]
        return np.asarray(w / np.cumsum(w[::-1])[::-1])  # w_a over what is left
    same: Mask = np.append(True, np.cumprod(drawn == np.arange(d)).astype(np.bool_))  # the first l as they stood
    shuffled = np.append(1.0, np.cumprod(1.0 / np.arange(d, 0, -1)))  # (d - l)! / d!
    whole = (1 - how.epsilon) * same + how.epsilon * shuffled  # P(a_1 .. a_l)
    return np.asarray(whole[1:] / whole[:-1])


def propensities(how: Explore, d: int) -> Vector:
    """``P(a at l)`` of every item and place: float64 ``[d, d]``, rows and columns of sum one."""
    if how.method == "softmax":
        return _plackett_luce(d, how.temperature)
    return (1 - how.epsilon) * np.eye(d) + how.epsilon / d


def _weights(d: int, temperature: float) -> Vector:
    """``w_a = (a + 1)^(-1/T)``: by the place in the order, so that scores of any scale explore alike."""
    return np.asarray(np.arange(1, d + 1, dtype=np.float64) ** (-1 / temperature))


@lru_cache(maxsize=256)
def _plackett_luce(d: int, temperature: float) -> Vector:
    """``P(a at l)`` under Plackett-Luce with the weights above.

    A draw is the order in which clocks ring that run at the rates w: ``P(a at l) = ∫ w_a exp(-w_a t) q(l - 1; t) dt``,
    where q(j; t) is the probability that j of the other clocks have rung by t, a Poisson-binomial one. The integral is
    a trapezoid sum in x with ``t = exp(x - exp(-x))`` (double exponential, Takahasi & Mori 1974), exact to about 1e-13.
    """
    w = _weights(d, temperature)
    x = np.arange(-4.0, 5.0 - np.log(w[-1]), 1 / 24)
    t = np.exp(x - np.exp(-x))
    density = w[:, None] * np.exp(-w[:, None] * t) * t * (1 + np.exp(-x)) / 24  # [d, x]
    rung = -np.expm1(-w[:, None] * t)  # [d, x]
    found = np.zeros((d, d))
    for item in range(d):
        others = np.zeros((d, len(x)))  # [j, x]: j of those looked at have rung
        others[0] = 1.0
        for other in range(d):
            if other != item:
                others[1:] = others[1:] * (1 - rung[other]) + others[:-1] * rung[other]
                others[0] *= 1 - rung[other]
        found[item] = others @ density[item]
    found.flags.writeable = False  # it is shared
    return found
