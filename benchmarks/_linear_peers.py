"""Run by linear_speed.py in the peers' environment: one job of another library, its cost as JSON on stdout."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np


def implicit_job(name: str, users: Any, items: Any) -> tuple[float, float, Any]:
    """Fit and recommend with implicit: CPU-seconds of both, and the lists."""
    import scipy.sparse as sp
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import CosineRecommender

    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)))
    start = time.process_time()
    if name == "ials":
        model = AlternatingLeastSquares(
            factors=64, alpha=20.0, regularization=5.0, iterations=15, num_threads=1, random_state=0
        )
    else:
        model = CosineRecommender(K=100, num_threads=1)
    model.fit(matrix, show_progress=False)
    fitted = time.process_time()
    lists, _ = model.recommend(np.arange(matrix.shape[0]), matrix, N=10, filter_already_liked_items=True)
    return fitted - start, time.process_time() - fitted, lists


def rectools_ease(users: Any, items: Any) -> tuple[float, float, Any]:
    """The same with the EASE of RecTools."""
    import pandas as pd
    from rectools.dataset import Dataset
    from rectools.models import EASEModel

    columns = {"user_id": users, "item_id": items, "weight": 1.0, "datetime": pd.Timestamp("2020-01-01")}
    dataset = Dataset.construct(pd.DataFrame(columns))
    start = time.process_time()
    model = EASEModel(regularization=500.0).fit(dataset)
    fitted = time.process_time()
    found = model.recommend(np.arange(users.max() + 1), dataset, k=10, filter_viewed=True)
    done = time.process_time()
    # It ranks by X B' where the paper has X B; the lists to compare are those of the paper.
    model.weight = np.ascontiguousarray(model.weight.T)
    found = model.recommend(np.arange(users.max() + 1), dataset, k=10, filter_viewed=True)
    ordered = found.sort_values(["user_id", "rank"])
    return fitted - start, done - fitted, ordered["item_id"].to_numpy().reshape(-1, 10)


def lenskit_job(name: str, users: Any, items: Any) -> tuple[float, float, Any]:
    """The same with LensKit, in one process."""
    import pandas as pd
    from lenskit.als import ImplicitMFConfig, ImplicitMFScorer
    from lenskit.batch import recommend
    from lenskit.data import from_interactions_df
    from lenskit.knn import EASEConfig, EASEScorer, ItemKNNConfig, ItemKNNScorer
    from lenskit.pipeline import topn_pipeline

    data = from_interactions_df(pd.DataFrame({"user_id": users, "item_id": items}))
    start = time.process_time()
    scorer = {
        "itemknn": lambda: ItemKNNScorer(ItemKNNConfig(max_nbrs=100, save_nbrs=100, feedback="implicit")),
        "ease": lambda: EASEScorer(EASEConfig(regularization=500.0)),
        "ials": lambda: ImplicitMFScorer(
            ImplicitMFConfig(embedding_size=64, weight=20.0, regularization=5.0, epochs=15)
        ),
    }[name]()
    pipeline = topn_pipeline(scorer, n=10)
    pipeline.train(data)
    fitted = time.process_time()
    found = recommend(pipeline, list(range(users.max() + 1)), n=10, n_jobs=1)
    done = time.process_time()
    lists = np.array([found.lookup(user).ids() for user in range(users.max() + 1)])
    return fitted - start, done - fitted, lists


def main() -> None:
    """Arguments: the library, the job, the file with the events, the file for the lists."""
    library, job, events, out = sys.argv[1:]
    data = np.load(events)
    run = {"implicit": implicit_job, "rectools": lambda _, u, i: rectools_ease(u, i), "lenskit": lenskit_job}[library]
    fit, recommend, lists = run(job, data["users"], data["items"])
    np.save(out, lists)
    print(json.dumps({"version": version(library), "numpy": np.__version__, "fit": fit, "recommend": recommend}))


if __name__ == "__main__":
    main()
