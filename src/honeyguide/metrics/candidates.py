"""Family B: what a candidate generator brings up. ``recall`` and ``hit`` stand in family D."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide.core.ragged import IntArray
from honeyguide.metrics.arrays import Index, Vector, group_sum, ratio
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.exposure import entropy
from honeyguide.metrics.lists import Lists
from honeyguide.metrics.metric import metric
from honeyguide.metrics.totals import Totals

_PAIRS = 1 << 22  # item pairs compared at once


@metric("catalogue_coverage", family="B", kind="aggregate", formula="distinct recommended items / catalogue")
def catalogue_coverage(totals: Totals, catalogue: Catalogue) -> float:
    """Share of the catalogue that anybody is shown."""
    return np.count_nonzero(totals.exposure) / catalogue.n_items


@metric(
    "distributional_coverage",
    family="B",
    kind="aggregate",
    high=np.inf,
    formula="−Σ p_i log₂ p_i over the shares p of all recommendations",
    conventions="bits; the same number as entropy",
)
def distributional_coverage(totals: Totals, catalogue: Catalogue) -> float:
    """Entropy of what is recommended, at most log₂ of the catalogue."""
    return entropy(totals, catalogue)


@metric("user_coverage", family="B", kind="aggregate", formula="users with a non-empty list / users")
def user_coverage(totals: Totals, catalogue: Catalogue) -> float:
    """Share of users who get anything."""
    return totals.n_served / totals.n_users if totals.n_users else float("nan")


@metric(
    "novelty",
    family="B",
    kind="per_user",
    needs=("popularity",),
    high=np.inf,
    formula="mean over L of −log₂((c_i + 1) / Σ_j (c_j + 1))",
    conventions="c counts training interactions, plus one so that unseen items stay finite; empty list skipped",
    direction="neither",
)
def novelty(lists: Lists, k: int) -> Vector:
    """Mean surprise of the recommended items, in bits."""
    return lists.mean(lists.catalogue.surprise, k)


@metric(
    "novelty_history",
    family="B",
    kind="per_user",
    needs=("popularity", "histories"),
    low=-np.inf,
    high=np.inf,
    formula="novelty of the list − the same mean over the user's history",
    conventions="bits; empty list or empty history skipped",
    direction="neither",
)
def novelty_history(lists: Lists, k: int) -> Vector:
    """How much more novel the list is than what the user chose before."""
    history = lists.histories
    assert history is not None
    bits = np.append(lists.catalogue.surprise, 0.0)[history.values]
    known = group_sum(history.rows, history.values >= 0, len(lists))
    total = group_sum(history.rows, bits, len(lists))
    usual = ratio(total, known)
    difference: Vector = novelty(lists, k) - usual
    return difference


@metric(
    "ils",
    family="B",
    kind="per_user",
    needs=("similarity",),
    low=-1.0,
    formula="mean of sim(i, j) over the pairs i < j of L",
    conventions="a list of one is skipped; sim is the catalogue's (co-occurrence or features)",
    direction="neither",
)
def ils(lists: Lists, k: int) -> Vector:
    """Intra-list similarity."""
    similarity = lists.catalogue.similarity
    assert similarity is not None
    total = np.zeros(len(lists))
    for gap in range(1, k):  # pairs of ranks (r, r + gap)
        first, second = lists.items[:, : k - gap], lists.items[:, gap:k]
        row, place = np.nonzero(second >= 0)
        total += group_sum(row, similarity(first[row, place], second[row, place]), len(lists))
    length = lists.length(k)
    pairs = length * (length - 1) / 2
    return ratio(total, pairs)


@metric(
    "diversity",
    family="B",
    kind="per_user",
    needs=("similarity",),
    high=2.0,
    formula="1 − ils",
    conventions="a list of one is skipped",
)
def diversity(lists: Lists, k: int) -> Vector:
    """How different the items of one list are."""
    return 1.0 - ils(lists, k)


@metric(
    "serendipity",
    family="B",
    kind="per_user",
    needs=("truth", "similarity", "histories"),
    high=2.0,
    formula="(1/|L|) Σ_{i∈L} (1 − mean_{j∈H} sim(i, j)) · h_i",
    conventions="H is the user's history; an empty history is unlike everything; 0 for an empty list",
)
def serendipity(lists: Lists, k: int) -> Vector:
    """Relevant and unlike what the user knows."""
    hits = lists.hits(k)
    unlike = 1.0 - history_similarity(lists, hits.user, hits.item)
    value: Vector = hits.sum(unlike) / np.maximum(lists.length(k), 1)
    return value


@metric(
    "freshness",
    family="B",
    kind="per_user",
    needs=("ages",),
    formula="share of L not older than Δ",
    conventions="Δ is Catalogue.fresh_days (default 30); empty list skipped",
    direction="neither",
)
def freshness(lists: Lists, k: int) -> Vector:
    """Share of recent items in the list."""
    ages = np.asarray(lists.catalogue.ages, np.float64)
    return lists.mean((ages <= lists.catalogue.fresh_days).astype(np.float64), k)


@metric(
    "personalisation",
    family="B",
    formula="1 − mean over user pairs of |L_u ∩ L_v| / |L_u ∪ L_v|",
    conventions="all pairs, or a seeded sample of them; empty lists are left out; fewer than two lists → NaN",
    direction="neither",
)
def personalisation(lists: IntArray, k: int, *, pairs: int | None = None, seed: int = 0) -> float:
    """How different the lists of different users are.

    Parameters
    ----------
    lists
        int32 ``[n, width]``, padded with -1, no item twice in a list.
    k
        Cut-off.
    pairs
        Number of random pairs to compare; ``None`` compares all n(n − 1)/2, which is for up to
        some thousand users.
    seed
        Of the sample.
    """
    from honeyguide.metrics.agreement import jaccard_lists

    lists = lists[(lists[:, :k] >= 0).any(axis=1), :k]
    n = len(lists)
    if n < 2:
        return float("nan")
    if pairs is None:
        total = sum(float(jaccard_lists(lists[:-gap], lists[gap:], k).sum()) for gap in range(1, n))
        return 1.0 - total / (n * (n - 1) / 2)
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n, pairs)
    second = (first + rng.integers(1, n, pairs)) % n  # never the same user
    step = max(1, _PAIRS // k)
    total = sum(
        float(jaccard_lists(lists[first[at : at + step]], lists[second[at : at + step]], k).sum())
        for at in range(0, pairs, step)
    )
    return 1.0 - total / pairs


@metric(
    "latency_p50",
    family="B",
    high=np.inf,
    direction="lower",
    formula="median seconds of a retrieval",
    conventions="linear interpolation",
)
def latency_p50(seconds: npt.NDArray[np.floating]) -> float:
    """Median of the measured times."""
    return float(np.percentile(seconds, 50)) if len(seconds) else float("nan")


@metric(
    "latency_p95",
    family="B",
    high=np.inf,
    direction="lower",
    formula="95th percentile of the seconds of a retrieval",
    conventions="linear interpolation",
)
def latency_p95(seconds: npt.NDArray[np.floating]) -> float:
    """What 95 of 100 retrievals stay below."""
    return float(np.percentile(seconds, 95)) if len(seconds) else float("nan")


def history_similarity(lists: Lists, user: Index, item: IntArray) -> Vector:
    """float64 ``[h]``: mean similarity of each ``item`` to the history of its ``user``; 0 for an empty history."""
    similarity, history = lists.catalogue.similarity, lists.histories
    assert similarity is not None and history is not None
    means = np.zeros(len(user))
    ends = np.cumsum(history.lengths[user])
    start = 0
    while start < len(user):  # as many (item, history) rows at a time as memory allows
        reached = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, reached + _PAIRS)))
        part = history.take(user[start:stop])
        known = np.flatnonzero(part.values >= 0)
        rows = part.rows[known]
        values = similarity(item[start:stop][rows], part.values[known])
        size = np.bincount(rows, minlength=stop - start)
        means[start:stop] = ratio(group_sum(rows, values, stop - start), size, 0.0)
        start = stop
    return means
