"""Figures that results are held against: what others printed, and what has to be reached."""

from __future__ import annotations

from collections.abc import Callable

from _tables import digits

# Figures that others printed for the same model on the same split: Recall and NDCG, and where.
PUBLISHED = {
    ("gfcf", "gowalla-lightgcn"): (0.1849, 0.1518, "Shen et al. 2021"),
    ("itemknn", "gowalla-lightgcn"): (0.1570, 0.1214, "BARS leaderboard"),
    ("mf-bpr", "gowalla-lightgcn"): (0.1627, 0.1378, "published, on all of train"),
    ("lightgcn", "gowalla-lightgcn"): (0.1820, 0.1547, "published, on all of train"),
    ("simplex", "gowalla-lightgcn"): (0.1872, 0.1557, "published, on all of train"),
}

# By model and data set: what Recall and NDCG may differ from or must reach, and CPU-seconds of the fit.
ACCURACY_BARS: dict[tuple[str, str], tuple[str, Callable[[float, float, float], bool]]] = {
    ("floor", "amazon-beauty"): ("NDCG ≥ .051 in ≤ 20 CPU-s", lambda r, n, s: n >= 0.051 and s <= 20),
    ("floor", "amazon-toys"): ("NDCG ≥ .064 in ≤ 20 CPU-s", lambda r, n, s: n >= 0.064 and s <= 20),
    ("floor", "amazon-sports"): ("NDCG ≥ .031 in ≤ 20 CPU-s", lambda r, n, s: n >= 0.031 and s <= 20),
    ("gfcf", "gowalla-lightgcn"): (
        ".1849 / .1518 ± .001",
        lambda r, n, s: abs(r - 0.1849) <= 0.001 and abs(n - 0.1518) <= 0.001,
    ),
    ("ials", "yelp-lightgnn"): ("Recall ≥ .080", lambda r, n, s: r >= 0.080),
    ("lightgcn", "yelp-lightgnn"): ("Recall ≥ .066 in ≤ 3,600 CPU-s", lambda r, n, s: r >= 0.066 and s <= 3600),
    ("sasrec", "amazon-beauty"): (
        "≥ .093 / .056 in ≤ 450 CPU-s",
        lambda r, n, s: r >= 0.093 and n >= 0.056 and s <= 450,
    ),
    ("sasrec", "ml-1m"): (
        "≥ .325 / .188 in ≤ 2,100 CPU-s",
        lambda r, n, s: r >= 0.325 and n >= 0.188 and s <= 2100,
    ),
}


def published_cell(model: str, dataset: str) -> str:
    """What others printed for a model on a data set, and where."""
    recall, ndcg, source = PUBLISHED.get((model, dataset), (None, None, ""))
    return f"{digits(recall)} / {digits(ndcg)} ({source})" if recall is not None and ndcg is not None else "–"
