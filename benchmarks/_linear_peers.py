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


def main() -> None:
    """Arguments: the job, the file with the events, the file for the lists."""
    job, events, out = sys.argv[1:]
    data = np.load(events)
    if job == "ease":
        fit, recommend, lists = rectools_ease(data["users"], data["items"])
        library = f"rectools {version('rectools')}"
    else:
        fit, recommend, lists = implicit_job(job, data["users"], data["items"])
        library = f"implicit {version('implicit')}"
    np.save(out, lists)
    print(json.dumps({"library": library, "numpy": np.__version__, "fit": fit, "recommend": recommend}))


if __name__ == "__main__":
    main()
