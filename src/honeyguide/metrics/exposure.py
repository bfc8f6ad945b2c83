"""Family E: popularity, novelty and exposure.

The long tail is what lies outside the head, and the head is the most popular items that together
cover 80 % of the training interactions (ties by lower code, the item that reaches the share included).
"""

from __future__ import annotations

import numpy as np

from honeyguide.metrics.arrays import Index, Vector, group_sum, ratio
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.lists import Lists
from honeyguide.metrics.metric import metric
from honeyguide.metrics.ranking import discounts
from honeyguide.metrics.totals import Totals

_ALL_ITEMS = "items nobody is shown included; no recommendation at all → NaN"


@metric(
    "arp",
    family="E",
    kind="per_user",
    needs=("popularity",),
    high=np.inf,
    direction="neither",
    formula="mean over L of the training count c_i",
    conventions="empty list skipped",
)
def arp(lists: Lists, k: int) -> Vector:
    """Average popularity of the recommended items."""
    return lists.mean(lists.catalogue.counts, k)


@metric(
    "aclt",
    family="E",
    kind="per_user",
    needs=("popularity",),
    high=np.inf,
    formula="number of long-tail items in L",
    conventions="distinct items; 0 for an empty list",
)
def aclt(lists: Lists, k: int) -> Vector:
    """Long-tail items in the list."""
    tail = np.append(lists.catalogue.tail, False)[lists.items[:, :k]]  # bool [n, k]
    if lists.repeated is not None:
        tail &= ~lists.repeated[:, :k]
    number: Vector = np.count_nonzero(tail, axis=1).astype(np.float64)
    return number


@metric(
    "aplt",
    family="E",
    kind="per_user",
    needs=("popularity",),
    formula="aclt / |L|",
    conventions="empty list skipped",
)
def aplt(lists: Lists, k: int) -> Vector:
    """Share of long-tail items in the list."""
    return ratio(aclt(lists, k), lists.length(k))


def _discounted(lists: Lists, k: int, worth: Vector) -> Vector:
    """Σ h_r d_r worth(item at r) / Σ_{r ≤ |L|} d_r; 0 for an empty list."""
    hits, d = lists.hits(k), discounts(k)
    weight = np.append(0.0, np.cumsum(d))[lists.length(k)]
    total = hits.sum(d[hits.rank] * worth[hits.item])
    return ratio(total, weight, 0.0)


@metric(
    "epc",
    family="E",
    kind="per_user",
    needs=("truth", "popularity"),
    formula="Σ h_r d_r (1 − c_i / m) / Σ_{r ≤ |L|} d_r",
    conventions="m training users; relevance-aware; 0 for an empty list",
)
def epc(lists: Lists, k: int) -> Vector:
    """Expected popularity complement: relevant items that few know."""
    return _discounted(lists, k, 1.0 - lists.catalogue.counts / lists.catalogue.users_in_train)


@metric(
    "efd",
    family="E",
    kind="per_user",
    needs=("truth", "popularity"),
    high=np.inf,
    formula="Σ h_r d_r (−log₂(c_i / Σ c)) / Σ_{r ≤ |L|} d_r",
    conventions="relevance-aware; an unseen item counts as seen once; 0 for an empty list",
)
def efd(lists: Lists, k: int) -> Vector:
    """Expected free discovery: relevant items that are rarely met, in bits."""
    counts = lists.catalogue.counts
    return _discounted(lists, k, -np.log2(np.maximum(counts, 1.0) / counts.sum()))


@metric("item_coverage", family="E", kind="aggregate", high=np.inf, formula="number of distinct recommended items")
def item_coverage(totals: Totals, catalogue: Catalogue) -> float:
    """How many different items anybody is shown."""
    return float(np.count_nonzero(totals.exposure))


@metric(
    "entropy",
    family="E",
    kind="aggregate",
    high=np.inf,
    formula="−Σ p_i log₂ p_i over the shares p of all recommendations",
    conventions="bits; no recommendation at all → NaN",
)
def entropy(totals: Totals, catalogue: Catalogue) -> float:
    """Shannon entropy of the exposure."""
    shown = totals.exposure[totals.exposure > 0]
    if len(shown) == 0:
        return float("nan")
    shares = shown / shown.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # never −0


@metric(
    "entropy_elliot",
    family="E",
    kind="aggregate",
    high=np.inf,
    formula="−Σ w_i log₂ p_i, w_i = mean over lists of i's share of the list, p_i share of all recommendations",
    conventions="what Elliot names SEntropy; equals entropy where all lists have the same length; bits",
)
def entropy_elliot(totals: Totals, catalogue: Catalogue) -> float:
    """Entropy in which every list weighs the same, however short."""
    some = totals.exposure > 0
    if not some.any():
        return float("nan")
    weights = totals.shares[some] / totals.n_served
    return float(-(weights * np.log2(totals.exposure[some] / totals.exposure.sum())).sum()) + 0.0


def _spread(totals: Totals) -> tuple[float, int]:
    """Σ_j (2j − n − 1) p_(j) over ascending shares p, and the number n of items."""
    n, total = len(totals.exposure), totals.exposure.sum()
    if total == 0:
        return float("nan"), n
    ascending = np.sort(totals.exposure) / total
    return float(((2 * np.arange(1, n + 1) - n - 1) * ascending).sum()), n


@metric(
    "gini",
    family="E",
    kind="aggregate",
    formula="1 − Σ_j (2j − n − 1) p_(j) / (n − 1), p ascending shares",
    conventions=f"Elliot's: higher is more equal; {_ALL_ITEMS}; one item → NaN",
)
def gini(totals: Totals, catalogue: Catalogue) -> float:
    """Equality of exposure: 1 when all items are shown equally, 0 when one is shown alone."""
    spread, n = _spread(totals)
    return 1.0 - spread / (n - 1) if n > 1 else float("nan")


@metric(
    "gini_index",
    family="E",
    kind="aggregate",
    direction="lower",
    formula="Σ_j (2j − n − 1) p_(j) / n, p ascending shares",
    conventions=f"the textbook index: higher is less equal; {_ALL_ITEMS}",
)
def gini_index(totals: Totals, catalogue: Catalogue) -> float:
    """Inequality of exposure."""
    spread, n = _spread(totals)
    return spread / n


def _variation(parts: Vector, wholes: Vector) -> float:
    """Standard deviation over mean of the rates ``parts / wholes`` of head and tail."""
    if (wholes <= 0).any() or parts.sum() == 0:
        return float("nan")
    rates = parts / wholes
    return float(rates.std() / rates.mean())


def _by_group(counts: Index, catalogue: Catalogue) -> Vector:
    """float64 ``[2]``: the sum over the head and the sum over the tail."""
    return group_sum(catalogue.tail.astype(np.intp), counts, 2)


@metric(
    "popreo",
    family="E",
    kind="aggregate",
    needs=("truth", "popularity"),
    direction="lower",
    formula="std / mean over {head, tail} of hits / relevant",
    conventions="population std; a group without relevant items, or no hit → NaN",
)
def popreo(totals: Totals, catalogue: Catalogue) -> float:
    """Popularity-based ranking-based equal opportunity."""
    return _variation(_by_group(totals.found, catalogue), _by_group(totals.relevant, catalogue))


@metric(
    "poprsp",
    family="E",
    kind="aggregate",
    needs=("popularity", "histories"),
    direction="lower",
    formula="std / mean over {head, tail} of recommended / available",
    conventions="available: items outside the history, added over users; population std",
)
def poprsp(totals: Totals, catalogue: Catalogue) -> float:
    """Popularity-based ranking-based statistical parity."""
    assert totals.known is not None
    available = totals.n_users - totals.known
    return _variation(_by_group(totals.shown, catalogue), _by_group(available, catalogue))
