"""Family H: ranking metrics from clicks that are missing not at random, each weighed by its inverse propensity.

Symbols: a held-out click (u, i) with propensity ``theta`` weighs ``w = 1 / max(theta, least)``, 0 where it is not in
the list; hits ``h_r``, ``P_r = (1/r) sum_{s<=r} h_s w_s``. Sums run over ranks r <= k; every function divides by the
sum of w over the held-out clicks of the user, so that a metric stays within the range of the unweighted one
(self-normalised, Swaminathan & Joachims 2015; used as in Saito et al. 2020, section 6).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.metrics.arrays import Vector, ratio
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.lists import Conventions, Hits, Lists
from honeyguide.metrics.metric import metric
from honeyguide.metrics.ranking import discounts

Discount = Literal["standard", "log2-rank"]

LEAST = 0.01
_EMPTY = "a user without held-out clicks → NaN; default least = .01"


@metric(
    "dcg_snips",
    family="H",
    formula="Σ h_r w_r d_r / Σ w",
    conventions=f"d_r = 1 / log₂(r + 1), or with discount 'log2-rank' 1, 1, 1/log₂ 3, ... (at most 1 each); {_EMPTY}",
)
def dcg_snips(
    lists: IntArray,
    truth: Ragged,
    propensities: FloatArray,
    k: int,
    least: float = LEAST,
    discount: Discount = "standard",
) -> Vector:
    """DCG of biased clicks, float64 ``[n]``.

    Parameters
    ----------
    lists
        int32 ``[n, width]``, padded with -1.
    truth, propensities
        Held-out clicks of every user, and one propensity for each of ``truth.values``.
    k
        Cut-off.
    least
        Propensities below are taken for it.
    discount
        ``"log2-rank"`` divides by log2(r) from rank 2 on, as the authors' code does: ranks 1 and 2 count fully.
    """
    hits, whole = _weighed(lists, truth, propensities, k, least)
    return ratio(hits.sum(hits.grade * _discounts(k, discount)[hits.rank]), whole)


@metric("recall_snips", family="H", formula="Σ h_r w_r / Σ w", conventions=_EMPTY)
def recall_snips(lists: IntArray, truth: Ragged, propensities: FloatArray, k: int, least: float = LEAST) -> Vector:
    """Recall of biased clicks; parameters as for :func:`dcg_snips`."""
    hits, whole = _weighed(lists, truth, propensities, k, least)
    return ratio(hits.sum(hits.grade), whole)


@metric(
    "ap_snips",
    family="H",
    formula="Σ h_r P_r / Σ w",
    conventions=f"P_r adds weights of hits; may exceed 1 only where weights fall along the list; {_EMPTY}",
    high=np.inf,
)
def ap_snips(lists: IntArray, truth: Ragged, propensities: FloatArray, k: int, least: float = LEAST) -> Vector:
    """Average precision of biased clicks; parameters as for :func:`dcg_snips`."""
    hits, whole = _weighed(lists, truth, propensities, k, least)
    running = np.cumsum(hits.grade)
    before = np.append(0.0, running)[np.cumsum(hits.count) - hits.count]  # of the users before
    return ratio(hits.sum((running - before[hits.user]) / (hits.rank + 1)), whole)


def plain_dcg(lists: IntArray, truth: Ragged, k: int, discount: Discount = "standard") -> Vector:
    """``sum h_r d_r``, float64 ``[n]``, 0 for a user without relevant items: for test items shown at random."""
    hits, _ = _weighed(lists, truth, np.ones(len(truth.values), np.float32), k, LEAST)
    return hits.sum(_discounts(k, discount)[hits.rank])


def with_unlabelled(clicks: Ragged, seen: Ragged, n_items: int, n: int, seed: int) -> Ragged:
    """Candidates to rank: each user's ``clicks`` and ``n`` items drawn from those neither clicked nor ``seen``.

    Parameters
    ----------
    clicks, seen
        One list per user.
    n_items
        Size of the catalogue.
    n
        Or as many as there are.
    seed
        Of the draws.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for own, before in zip(clicks, seen, strict=True):
        free = np.setdiff1d(np.arange(n_items), np.concatenate([own, before]))
        drawn = rng.choice(free, min(n, len(free)), replace=False) if len(own) else free[:0]
        rows.append(np.unique(np.concatenate([own, drawn])))
    return Ragged.from_lists(rows)


def _discounts(k: int, discount: Discount) -> Vector:
    if discount == "standard":
        return discounts(k)
    values: Vector = 1.0 / np.log2(np.maximum(np.arange(1, k + 1), 2))
    return values


def _weighed(lists: IntArray, truth: Ragged, propensities: FloatArray, k: int, least: float) -> tuple[Hits, Vector]:
    """Hits among the first ``k`` with w as their grades, and the sum of w of every user."""
    if len(propensities) != len(truth.values):
        raise DataError(
            f"there are {len(truth.values)} held-out clicks but {len(propensities)} propensities.", "Give one for each."
        )
    weights = 1.0 / np.maximum(np.asarray(propensities, np.float64), least)
    n_items = int(max(lists.max(initial=0), truth.values.max(initial=0))) + 1
    found = Lists(lists, truth, Catalogue(n_items), Conventions(), grades=weights)
    whole: Vector = np.bincount(found.relevant_keys // n_items, found.relevant_grades, minlength=len(truth)).astype(
        np.float64
    )
    return found.hits(k), whole
