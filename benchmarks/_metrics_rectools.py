"""Run by metrics_speed.py in the environment of the other libraries: the same lists, evaluated by RecTools."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.metrics import MRR, NDCG, Precision, Recall, calc_metrics

REPEATS = 5
METRICS = {
    "ndcg@10": NDCG(k=10, divide_by_achievable=True),
    "recall@10": Recall(k=10),
    "mrr@10": MRR(k=10),
    "precision@10": Precision(k=10),
}


def main(source: str, target: str) -> None:
    """Evaluate the lists in ``source``, write per-user values to ``target``, print CPU-seconds."""
    data = np.load(source)
    lists, users, items = data["lists"], data["truth_user"], data["truth_item"]
    n, k = lists.shape
    recommended = pd.DataFrame(
        {
            Columns.User: np.repeat(np.arange(n), k),
            Columns.Item: lists.ravel(),
            Columns.Rank: np.tile(np.arange(1, k + 1), n),
        }
    )
    truth = pd.DataFrame({Columns.User: users, Columns.Item: items})
    per_user_seconds, means_seconds = [], []
    for _ in range(REPEATS):
        start = time.process_time()
        values = {id: metric.calc_per_user(recommended, truth) for id, metric in METRICS.items()}
        middle = time.process_time()
        calc_metrics(METRICS, recommended, truth)
        per_user_seconds.append(middle - start)
        means_seconds.append(time.process_time() - middle)
    np.savez(target, **{id: series.reindex(np.arange(n)).to_numpy() for id, series in values.items()})
    print(
        json.dumps(
            {
                "version": version("rectools"),
                "per_user": sorted(per_user_seconds)[REPEATS // 2],
                "means": sorted(means_seconds)[REPEATS // 2],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])
