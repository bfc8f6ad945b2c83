"""Accuracy and cost of models learnt from pairs, and of SLIM: one cell per data set, model, options and seed.

    python benchmarks/cf_accuracy.py
    python benchmarks/cf_accuracy.py --datasets yelp-lightgnn --models lightgcn --set layers=3

Cells that are there are not run again. Needs HONEYGUIDE_DATA. Fitted on train; the epoch and the way of folding
in are chosen on valid; the test part is read once, after the fit. Data without a valid part have 5 % of train set
aside (``ensure_valid``), so the model learns from 95 % of what published figures were learnt from.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

import numpy as np

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Stopwatch
from honeyguide.data.load import load_data
from honeyguide.data.valid import ensure_valid
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.holdout import ScoreFunction, rank_catalogue
from honeyguide.models.factor.fold_in import HOWS
from honeyguide.models.registry import model_class
from result_file import read_result, write_result

NAME = "cf_accuracy"
METRICS = ["recall@20", "ndcg@20"]
FOLD_IN_USERS = 5_000  # on whom the ways of folding in are compared
PROTOCOL = (
    "full ranking, ties pessimistic, history = train + valid at test time, both removed (':kept' removes nothing)"
)


def measured(score: ScoreFunction, histories: Ragged, truth: Ragged, n_items: int, remove: bool = True) -> Any:
    """Recall@20 and NDCG@20."""
    lists = rank_catalogue(score, histories, truth, 20, remove_seen=remove)
    return {name: float(v) for name, v in evaluate_lists(lists, truth, METRICS, Catalogue(n_items)).overall.items()}


def test_metrics(model: Recommender, data: Dataset) -> dict[str, float]:
    """On test, with seen items removed and kept."""
    truth = data.histories("test")
    asked = np.flatnonzero(truth.lengths)
    histories, truth = data.histories("train", "valid").take(asked), truth.take(asked)
    found = {}
    for suffix, remove in (("", True), (":kept", False)):
        values = measured(model.score_histories, histories, truth, data.n_items, remove)
        found |= {f"{name}{suffix}": values[name] for name in METRICS}
    return found


def fold_ins(model: Any, data: Dataset) -> dict[str, dict[str, float]]:
    """On valid: users as they were trained, and as each way makes them from their train histories."""
    if getattr(model, "network", None) is None:
        return {}
    valid = data.histories("valid")
    asked = np.flatnonzero(valid.lengths)
    if len(asked) > FOLD_IN_USERS:
        asked = np.sort(np.random.default_rng(0).choice(asked, FOLD_IN_USERS, replace=False))
    histories, truth = data.histories("train").take(asked), valid.take(asked)
    users = model.network.user_vectors().detach().numpy()[asked]  # [n, d]
    items = model.item_vectors()
    found = {"trained": measured(lambda h, u: users[u] @ items.T, histories, truth, data.n_items)}
    for how in HOWS:
        served = replace(model.served, how=how)
        with Stopwatch() as watch:
            values = measured(lambda h, u, s=served: s.scores(h), histories, truth, data.n_items)
        found[how] = {**values, "cpu_seconds": round(watch.cpu, 2)}
    return found


def run(data: Dataset, name: str, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """Fit and measure one cell."""
    model = model_class(name)(**options, seed=seed)
    estimate = model.estimate(data)
    model.fit(data)
    valid = data.histories("valid")
    asked = np.flatnonzero(valid.lengths)
    on_valid = measured(model.score_histories, data.histories("train").take(asked), valid.take(asked), data.n_items)
    with Stopwatch() as watch:
        test = test_metrics(model, data)
    return {
        "dataset": data.name,
        "model": name,
        "options": options,
        "config": model.config.model_dump(mode="json"),
        "seed": seed,
        "test": test,
        "valid": on_valid,
        "fold_in": fold_ins(model, data),
        "epochs": len(model.report.curve),
        "cpu_seconds": {"fit": round(model.report.cpu_seconds, 1), "recommend": round(watch.cpu / 2, 1)},
        "estimate": {"cpu_seconds": round(estimate.cpu_seconds, 1), "memory_mb": round(estimate.memory_bytes / 2**20)},
        "peak_rss_mb": round(model.report.peak_rss_mb, 1),
        "n_parameters": model.report.n_parameters,
        "curve": model.report.curve,
    }


def main() -> None:
    """Run the cells that are missing."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=["yelp-lightgnn", "gowalla-lightgcn"])
    parser.add_argument("--models", nargs="+", default=["slim", "mf-bpr", "simplex", "lightgcn"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the models")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = {}
    for name, value in (text.split("=", 1) for text in arguments.set):
        options[name] = value if value.replace("-", "").isalpha() else json.loads(value)
    for dataset in arguments.datasets:
        data = ensure_valid(load_data(dataset))
        for model in arguments.models:
            for seed in arguments.seeds:
                if any(_key(cell) == (dataset, model, _text(options), seed) for cell in _cells()):
                    continue
                cell = run(data, model, options, seed)
                print(dataset, model, options, cell["test"], cell["cpu_seconds"], flush=True)
                _write([*_cells(), cell])  # read again: another process may have added cells


def _text(options: dict[str, Any]) -> str:
    return json.dumps(options, sort_keys=True)


def _key(cell: dict[str, Any]) -> tuple[str, str, str, int]:
    return cell["dataset"], cell["model"], _text(cell["options"]), cell["seed"]


def _cells() -> list[dict[str, Any]]:
    content = read_result(NAME)
    return content["results"] if content else []


def _write(cells: list[dict[str, Any]]) -> None:
    write_result(
        NAME,
        sorted(cells, key=_key),
        dataset=sorted({cell["dataset"] for cell in cells}),
        split="as published; gowalla-lightgcn without a valid part has 5 % of train set aside as one",
        protocol=PROTOCOL,
        seeds=sorted({cell["seed"] for cell in cells}),
        config={"threads": 1},
        whole=True,
    )


if __name__ == "__main__":
    main()
