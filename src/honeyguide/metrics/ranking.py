"""Family D: ranking metrics with a cut-off k, one value per list.

Symbols: list L, truth set T with grades g, hit ``h_r = 1`` if the item at rank r is in T,
``P@r = (1/r) Σ_{s≤r} h_s``, discount ``d_r = 1 / log₂(r + 1)``. All sums run over ranks r ≤ k.
Every function takes the prepared lists and k, and returns float64 ``[n]``; users without relevant
items are settled by the caller. Hits are sparse, so the cost follows hits, not cells.
"""

from __future__ import annotations

import numpy as np

from honeyguide.core.errors import ConfigError
from honeyguide.metrics.arrays import Vector, group_sum, ratio
from honeyguide.metrics.lists import Lists
from honeyguide.metrics.metric import metric

_GRADED = "grade 1 where none is given; a grade ≤ 0 is not relevant"
_AP_NAMES = "three divisors go by the name AP; this one is {}"


def discounts(k: int) -> Vector:
    """float64 ``[k]``: ``d_r = 1 / log₂(r + 1)`` for the ranks 1 to k."""
    values: Vector = 1.0 / np.log2(np.arange(2, k + 2))
    return values


def _relevant(lists: Lists) -> Vector:
    """|T|, with 1 for empty truths so that it can divide."""
    return np.maximum(lists.n_relevant, 1).astype(np.float64)


@metric(
    "precision",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="Σ h_r / k",
    conventions="short_list='list' divides by |L| instead",
)
def precision(lists: Lists, k: int) -> Vector:
    """Share of the list that is relevant."""
    share: Vector = lists.hits(k).count / lists.denominator(k)
    return share


@metric(
    "recall",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="Σ h_r / |T|",
    conventions="unknown truth items count in |T|",
)
def recall(lists: Lists, k: int) -> Vector:
    """Share of the relevant items that were found; also of family B (recall@N)."""
    share: Vector = lists.hits(k).count / _relevant(lists)
    return share


@metric("recall_capped", family="D", kind="per_user", needs=("truth",), formula="Σ h_r / min(k, |T|)")
def recall_capped(lists: Lists, k: int) -> Vector:
    """Recall against what k places could hold at best."""
    share: Vector = lists.hits(k).count / np.minimum(_relevant(lists), k)
    return share


@metric(
    "f1",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="2 P R / (P + R)",
    conventions="per user, then averaged; 0 without a hit",
)
def f1(lists: Lists, k: int) -> Vector:
    """Harmonic mean of each user's precision and recall."""
    p, r = precision(lists, k), recall(lists, k)
    harmonic: Vector = 2 * p * r / np.where(p + r > 0, p + r, 1.0)
    return harmonic


@metric("hit", family="D", kind="per_user", needs=("truth",), formula="1 if Σ h_r > 0 else 0")
def hit(lists: Lists, k: int) -> Vector:
    """Whether anything relevant was found (hit rate when averaged); also of family B."""
    return (lists.hits(k).count > 0).astype(np.float64)


@metric(
    "mrr",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="1 / rank of the first hit",
    conventions="0 without a hit",
)
def mrr(lists: Lists, k: int) -> Vector:
    """Reciprocal rank of the first hit."""
    hits = lists.hits(k)
    return hits.sum((hits.ordinal == 1) / (hits.rank + 1))


@metric(
    "arhr", family="D", kind="per_user", needs=("truth",), high=np.inf, formula="Σ h_r / r", conventions="at most Σ 1/r"
)
def arhr(lists: Lists, k: int) -> Vector:
    """Reciprocal ranks of all hits, added."""
    hits = lists.hits(k)
    return hits.sum(1.0 / (hits.rank + 1))


def _precision_at_hits(lists: Lists, k: int) -> Vector:
    """Σ_r h_r P@r."""
    hits = lists.hits(k)
    return hits.sum(hits.ordinal / (hits.rank + 1))


@metric(
    "ap_min",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="Σ h_r P@r / min(k, |T|)",
    conventions=_AP_NAMES.format("the default: a perfect list reaches 1"),
)
def ap_min(lists: Lists, k: int) -> Vector:
    """Average precision against the best that k places allow."""
    value: Vector = _precision_at_hits(lists, k) / np.minimum(_relevant(lists), k)
    return value


@metric(
    "ap_hits",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="Σ h_r P@r / Σ h_r",
    conventions=_AP_NAMES.format("the number of hits; 0 without a hit"),
)
def ap_hits(lists: Lists, k: int) -> Vector:
    """Average precision over the hits."""
    value: Vector = _precision_at_hits(lists, k) / np.maximum(lists.hits(k).count, 1)
    return value


@metric(
    "ap_rel",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="Σ h_r P@r / |T|",
    conventions=_AP_NAMES.format("all relevant items, as in TREC"),
)
def ap_rel(lists: Lists, k: int) -> Vector:
    """Average precision over all relevant items."""
    value: Vector = _precision_at_hits(lists, k) / _relevant(lists)
    return value


@metric(
    "map_elliot",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="(1/k) Σ_{n≤k} P@n",
    conventions="what Elliot names MAP; P@n divides by n",
)
def map_elliot(lists: Lists, k: int) -> Vector:
    """Mean precision over the cut-offs 1 to k: a hit at rank r weighs (1/k) Σ_{n≥r} 1/n."""
    weights = np.cumsum((1.0 / np.arange(1, k + 1))[::-1])[::-1] / k
    hits = lists.hits(k)
    return hits.sum(weights[hits.rank])


@metric(
    "mar_elliot",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="(1/k) Σ_{n≤k} R@n",
    conventions="what Elliot names MAR",
)
def mar_elliot(lists: Lists, k: int) -> Vector:
    """Mean recall over the cut-offs 1 to k: a hit at rank r counts in k − r + 1 of them."""
    hits = lists.hits(k)
    value: Vector = hits.sum((k - hits.rank) / k) / _relevant(lists)
    return value


@metric("dcg", family="D", kind="per_user", needs=("truth",), high=np.inf, formula="Σ g_r d_r", conventions=_GRADED)
def dcg(lists: Lists, k: int) -> Vector:
    """Discounted cumulative gain, linear."""
    hits = lists.hits(k)
    return hits.sum(hits.grade * discounts(k)[hits.rank])


@metric(
    "dcg_exp",
    family="D",
    kind="per_user",
    needs=("truth",),
    high=np.inf,
    formula="Σ (2^g_r − 1) d_r",
    conventions=_GRADED,
)
def dcg_exp(lists: Lists, k: int) -> Vector:
    """Discounted cumulative gain, exponential."""
    hits = lists.hits(k)
    return hits.sum((np.exp2(hits.grade) - 1) * discounts(k)[hits.rank])


def _normalised(gain: Vector, lists: Lists, k: int, exponential: bool) -> Vector:
    """DCG / IDCG, the ideal being the best min(k, |T|) grades in order."""
    user, rank, grade = lists.ideal(k)
    terms = (np.exp2(grade) - 1 if exponential else grade) * discounts(k)[rank]
    ideal = group_sum(user, terms, len(lists))
    return ratio(gain, ideal, 0.0)


@metric(
    "ndcg",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="DCG / IDCG, IDCG over the best min(k, |T|) items",
    conventions=f"linear gain; {_GRADED}; zero IDCG is an empty truth",
)
def ndcg(lists: Lists, k: int) -> Vector:
    """Normalised discounted cumulative gain; binary where no grades are given."""
    return _normalised(dcg(lists, k), lists, k, exponential=False)


@metric(
    "ndcg_exp",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="as ndcg with the gain 2^g − 1",
    conventions=f"{_GRADED}; zero IDCG is an empty truth",
)
def ndcg_exp(lists: Lists, k: int) -> Vector:
    """Normalised discounted cumulative gain with exponential gain."""
    return _normalised(dcg_exp(lists, k), lists, k, exponential=True)


@metric(
    "ndcg_binary",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="Σ h_r d_r / Σ_{r ≤ min(k, |T|)} d_r",
    conventions="ignores grades; equals ndcg where none are given",
)
def ndcg_binary(lists: Lists, k: int) -> Vector:
    """Normalised discounted cumulative gain of hits alone."""
    hits, d = lists.hits(k), discounts(k)
    best = np.cumsum(d)[np.minimum(np.maximum(lists.n_relevant, 1), k) - 1]
    value: Vector = hits.sum(d[hits.rank]) / best
    return value


def _rank_biased(lists: Lists, k: int, p: float) -> Vector:
    hits = lists.hits(k)
    return (1 - p) * hits.sum(p**hits.rank)


@metric("rbp80", family="D", kind="per_user", needs=("truth",), formula="(1 − p) Σ h_r p^(r−1), p = .8")
def rbp80(lists: Lists, k: int) -> Vector:
    """Rank-biased precision of a reader who goes on with probability .8."""
    return _rank_biased(lists, k, 0.8)


@metric("rbp90", family="D", kind="per_user", needs=("truth",), formula="(1 − p) Σ h_r p^(r−1), p = .9")
def rbp90(lists: Lists, k: int) -> Vector:
    """Rank-biased precision of a reader who goes on with probability .9."""
    return _rank_biased(lists, k, 0.9)


@metric(
    "err",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="Σ (1/r) R_r Π_{s<r} (1 − R_s), R = (2^g − 1) / 2^g_max",
    conventions="g_max is Conventions.max_grade (default 1)",
)
def err(lists: Lists, k: int) -> Vector:
    """Expected reciprocal rank: where a reader who stops when satisfied is expected to stop."""
    hits, top = lists.hits(k), lists.conventions.max_grade
    if lists.relevant_grades.size and lists.relevant_grades.max() > top:
        raise ConfigError(
            f"err: a grade of {lists.relevant_grades.max():g} is above the highest grade {top:g}.",
            "Say what the highest grade is: Conventions(max_grade=...).",
        )
    satisfied = (np.exp2(hits.grade) - 1) / 2**top
    total, goes_on = np.zeros(len(lists)), np.ones(len(lists))
    for ordinal in range(1, int(hits.count.max(initial=0)) + 1):  # the product runs over hits only
        now = hits.ordinal == ordinal
        user = hits.user[now]
        total[user] += goes_on[user] * satisfied[now] / (hits.rank[now] + 1)
        goes_on[user] *= 1 - satisfied[now]
    return total


@metric(
    "bpref",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="(1/R) Σ_hits (1 − min(n_r, R) / min(N, R))",
    conventions="R = |T|; N and n_r count judged non-relevant items (grade ≤ 0) in all and above rank r; "
    "without any above, a hit counts 1",
)
def bpref(lists: Lists, k: int) -> Vector:
    """Preference of relevant over judged non-relevant items, blind to the unjudged."""
    hits, misses = lists.hits(k), lists.misses.cut(k)
    cell, missed = hits.user * k + hits.rank, misses.user * k + misses.rank
    above = np.searchsorted(missed, cell) - np.searchsorted(missed, hits.user * k)
    relevant = _relevant(lists)
    bound = np.maximum(np.minimum(lists.n_judged, relevant), 1)
    terms = 1 - np.minimum(above, relevant[hits.user]) / bound[hits.user]
    value: Vector = hits.sum(terms) / relevant
    return value


@metric(
    "q_measure",
    family="D",
    kind="per_user",
    needs=("truth",),
    formula="(1/min(k, |T|)) Σ h_r (C_r + G_r) / (r + G*_r)",
    conventions=f"C_r hits, G_r gain and G*_r ideal gain up to rank r; β = 1; {_GRADED}",
)
def q_measure(lists: Lists, k: int) -> Vector:
    """Sakai's Q: average precision blended with cumulative gain."""
    hits = lists.hits(k)
    running = np.cumsum(hits.grade)
    before = np.append(0.0, running)[np.cumsum(hits.count) - hits.count]  # gain of the users before
    gain = running - before[hits.user]
    _, _, grade = lists.ideal(k)
    per_user = np.minimum(lists.n_relevant, k)
    starts, best = np.cumsum(per_user) - per_user, np.append(0.0, np.cumsum(grade))
    reached = starts[hits.user] + np.minimum(hits.rank + 1, per_user[hits.user])
    ideal = best[reached] - best[starts[hits.user]]
    value: Vector = hits.sum((hits.ordinal + gain) / (hits.rank + 1 + ideal)) / np.minimum(_relevant(lists), k)
    return value
