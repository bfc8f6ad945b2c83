"""Whether a valid part that was set aside ranks models as the published test part does, where there is no order.

Every model is fitted once on train and asked for both parts with train as history, for users with histories of like
lengths. Where a model is ahead in one part and behind in the other, test was not drawn as valid was, and what is
chosen on valid is chosen for another question. Test is read to show this, and nothing is chosen by it.

    python benchmarks/valid_like_test.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

from honeyguide.core.dataset import Dataset
from honeyguide.core.recommender import Recommender
from honeyguide.data.load import load_data
from honeyguide.data.valid import ensure_valid
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.holdout import rank_catalogue
from honeyguide.models.registry import model_class
from result_file import write_result

NAME, METRIC, K = "valid_like_test", "ndcg@20", 20
DATA = ("gowalla-lightgcn", "yelp-lightgnn")
MODELS: dict[str, tuple[str, dict[str, float]]] = {
    "itemknn": ("itemknn", {}),
    "gfcf": ("gfcf", {}),
    "gfcf, candidate_exponent 0.25, history_exponent 0.75": (
        "gfcf",
        {"candidate_exponent": 0.25, "history_exponent": 0.75},
    ),
    "ials": ("ials", {}),
    "slim": ("slim", {}),
}
USERS = 6_000
EDGES = (0, 12, 20, 40, 10**9)  # lengths of histories


def values(model: Recommender, data: Dataset, part: str) -> dict[str, float]:
    """NDCG@20 of users drawn from those with something held out, in all and by length of history."""
    truth = data.histories(part)
    users = np.flatnonzero(truth.lengths)
    users = np.sort(np.random.default_rng(0).permutation(users)[:USERS])
    histories, truth = data.histories("train").take(users), truth.take(users)
    catalogue = Catalogue(data.n_items, data.popularity("train"), histories)
    lists = rank_catalogue(model.score_histories, histories, truth, K)
    found = evaluate_lists(lists, truth, [METRIC], catalogue).per_user[METRIC]
    groups = np.digitize(histories.lengths, EDGES[1:-1])
    by_length = {f"from {low}": float(found[groups == g].mean()) for g, low in enumerate(EDGES[:-1])}
    return {"all": float(found.mean()), **by_length}


def main() -> None:
    """Measure all."""
    results: dict[str, Any] = {}
    for name in DATA:
        data = ensure_valid(load_data(name))
        for label, (model, options) in MODELS.items():
            fitted = model_class(model)(**options, seed=0).fit(data)
            cell = {part: values(fitted, data, part) for part in ("valid", "test")}
            results.setdefault(name, {})[label] = cell
            print(name, label, cell, flush=True)
            write_result(
                NAME,
                results,
                dataset=list(DATA),
                split="as published; gowalla-lightgcn has no valid part: a seeded 5 % of its train events",
                protocol=f"{METRIC} of {USERS} users, full ranking, ties pessimistic, seen removed, history = train",
                seeds=[0],
                config={"edges": list(EDGES[:-1])},
                whole=True,
            )


if __name__ == "__main__":
    main()
