"""Accuracy and cost of the models without gradient descent, on the public splits.

Needs HONEYGUIDE_DATA. Every row is a process of its own: its CPU-seconds run from the loaded data to
the chosen model, search included. Name data sets, models or DATASET:MODEL on the command line to measure
only those again.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from result_file import read_result, write_result


@dataclass(frozen=True)
class Row:
    """One model on one data set.

    Parameters
    ----------
    dataset, model
        Names.
    k
        Cut-off of the metrics.
    options
        Options that differ from the defaults.
    grid
        Options chosen on valid by NDCG@k: every combination is fitted.
    history
        Parts that make the history at test time, whose items are removed.
    """

    dataset: str
    model: str
    k: int = 10
    options: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    history: tuple[str, ...] = ("train", "valid")


IALS_GRID = {"alpha": (10.0, 20.0, 40.0), "regularization": (2.0, 5.0, 10.0)}
GFCF_GRID = {"candidate_exponent": (0.0, 0.25, 0.5), "user_exponent": (0.5, 1.0), "alpha": (0.3, 1.0)}
# Chosen on test, as published figures on this split are, which has no valid part: what the model is able to reach.
GFCF_ON_TEST = {"candidate_exponent": 0.25, "history_exponent": 0.75}
ROWS = [
    *(
        Row(dataset, model)
        for dataset in ("amazon-beauty", "amazon-toys", "amazon-sports", "ml-1m")
        for model in ("popularity", "itemknn", "ease", "ials", "gfcf", "floor")
    ),
    *(Row("gowalla-lightgcn", model, k=20) for model in ("popularity", "itemknn", "ials", "gfcf")),
    Row("gowalla-lightgcn", "gfcf", k=20, options=GFCF_ON_TEST),
    *(Row("yelp-lightgnn", model, k=20) for model in ("popularity", "itemknn", "gfcf")),
    Row("yelp-lightgnn", "gfcf", k=20, grid=GFCF_GRID),
    Row("yelp-lightgnn", "ials", k=20, grid=IALS_GRID),
    Row("yelp-lightgnn", "ials", k=20, grid=IALS_GRID, history=("train",)),
]


def measure(row: Row) -> dict[str, Any]:
    """Fit, choose and evaluate one row; runs in a process of its own."""
    import numpy as np

    from honeyguide.core.resources import Stopwatch, peak_rss_mb
    from honeyguide.data.load import load_data
    from honeyguide.metrics.catalogue import Catalogue
    from honeyguide.metrics.evaluate import evaluate_lists
    from honeyguide.metrics.holdout import holdout_ndcg, rank_catalogue
    from honeyguide.models.registry import model_class

    data = load_data(row.dataset)
    model, search, best = None, [], -1.0
    histories, valid = data.histories("train"), data.histories("valid")
    with Stopwatch() as fit:
        for point in itertools.product(*row.grid.values()):
            options = {**row.options, **dict(zip(row.grid, point, strict=True))}
            candidate = model_class(row.model)(**options).fit(data)
            value = 0.0
            if row.grid:
                value = float(holdout_ndcg(candidate.score_histories, histories, valid, row.k).mean())
                search.append({**options, f"ndcg@{row.k}": value})
            if value > best:
                best, model, chosen = value, candidate, options
    assert model is not None
    truth = data.histories("test")
    asked = np.flatnonzero(truth.lengths)
    given, truth = data.histories(*row.history).take(asked), truth.take(asked)
    names = [f"{metric}@{row.k}" for metric in ("recall", "ndcg")]
    metrics: dict[str, float] = {}
    with Stopwatch() as recommend:
        for suffix, remove in (("", True), (":kept", False)):
            lists = rank_catalogue(model.score_histories, given, truth, row.k, remove_seen=remove)
            found = evaluate_lists(lists, truth, names, Catalogue(data.n_items)).overall
            metrics |= {f"{name}{suffix}": found[name] for name in names}
    return {
        **asdict(row),
        "chosen": getattr(model, "chosen", chosen),
        "search": search or model.report.search,
        "metrics": metrics,
        "n_users": len(asked),
        "cpu_seconds": {"fit": round(fit.cpu, 2), "recommend": round(recommend.cpu / 2, 2)},
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "n_parameters": model.n_parameters,
    }


def main() -> None:
    """Measure all rows, or those of the data sets and models named on the command line."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # for the processes of the rows
    asked = set(sys.argv[1:])
    wanted = [row for row in ROWS if not asked or asked & {row.dataset, row.model, f"{row.dataset}:{row.model}"}]
    known = (read_result("linear_accuracy") or {"results": []})["results"]
    places = {_key(asdict(row)): place for place, row in enumerate(ROWS)}
    again = {(row.dataset, row.model) for row in wanted}
    results = [row for row in known if (row["dataset"], row["model"]) not in again]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for found in pool.map(measure, wanted):
            results.append(found)
            shown = {name: round(value, 4) for name, value in found["metrics"].items()}
            print(found["dataset"], found["model"], found["history"], shown, found["cpu_seconds"], flush=True)
    results.sort(key=lambda row: places[_key(row)])
    write_result(
        "linear_accuracy",
        results,
        dataset=sorted({row["dataset"] for row in results}),
        split="as published; leave-last-out for amazon-* and ml-1m",
        protocol="full ranking, ties pessimistic, seen items removed (':kept' not), choices on valid only",
        seeds=[0],
        config={"threads": 1},
        whole=True,
    )


def _key(row: dict[str, Any]) -> str:
    return json.dumps([row[name] for name in ("dataset", "model", "history", "options", "grid")])


if __name__ == "__main__":
    main()
