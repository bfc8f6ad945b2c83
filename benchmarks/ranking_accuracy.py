"""Accuracy of the feature-based rankers; one cell per task and data set, and cells that are there are kept.

    python benchmarks/ranking_accuracy.py
    python benchmarks/ranking_accuracy.py --tasks clicks --datasets coat

Task ``lists``: the boosted re-ranker against the sources that it re-ranks, NDCG@10 over the whole catalogue.
Task ``clicks``: DIN against logistic regression on the same features and the item rate, over labelled events.
The data is looked for by name under ``$HONEYGUIDE_DATA``. Fitted on train, stopped on valid, test read once with
train and valid as history. Tests are paired over users, on values averaged over the seeds, and Holm-corrected within
a cell.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Stopwatch
from honeyguide.data.load import load_data
from honeyguide.data.splits import leave_last_out
from honeyguide.data.valid import ensure_valid
from honeyguide.metrics.arrays import group_sum
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.metrics.predictive import auc, ece, gauc, grouped_auc, log_loss
from honeyguide.metrics.stats import holm, over_seeds, paired_test
from honeyguide.models.ranking.boosted import Boosted
from honeyguide.models.ranking.din import DIN
from honeyguide.models.ranking.itemrate import ItemRate
from honeyguide.models.ranking.logistic import Logistic
from result_file import read_result, write_result

Values = npt.NDArray[np.float64]

NAME = "ranking_accuracy"
LISTS = {"amazon-beauty": [0], "goodbooks-sample": [0], "ml-1m": [0]}
CLICKS = {"ml-100k": [0, 1, 2], "coat": [0, 1, 2]}
PROTOCOL = (
    "lists: full ranking, ties pessimistic, seen items removed; clicks: every labelled test event; "
    "stopped on valid, test read once with train and valid as history; paired tests over users, Holm-corrected"
)


def lists_cell(dataset: str, seeds: list[int]) -> dict[str, Any]:
    """The re-ranker, and each source as the re-ranker fitted it."""
    data = load_data(dataset)
    histories, truth = data.histories("train", "valid"), data.histories("test")
    per_user: dict[str, list[Values]] = {}
    runs = []
    for seed in seeds:
        model = Boosted(seed=seed).fit(data)
        with Stopwatch() as watch:
            values = {"boosted": holdout_ndcg(model.score_histories, histories, truth)}
        values |= {
            source.name: holdout_ndcg(source.score_histories, histories, truth) for source in model.retrieval.sources
        }
        for name, v in values.items():
            per_user.setdefault(name, []).append(v)
        estimate = model.estimate(data)
        runs.append(
            {
                "seed": seed,
                "ndcg@10": {name: float(v.mean()) for name, v in values.items()},
                "recall@10": {name: float((v > 0).mean()) for name, v in values.items()},  # one relevant item each
                "cpu_seconds": {name: round(m.report.cpu_seconds, 1) for name, m in parts(model).items()},
                "score_cpu_seconds": round(watch.cpu, 1),
                "peak_rss_mb": round(model.report.peak_rss_mb, 1),
                "estimate": {"cpu_seconds": round(estimate.cpu_seconds, 1), "mb": round(estimate.memory_bytes / 2**20)},
                "trees": len(model.report.curve),
                "gains": {row["feature"]: round(row["gain"], 4) for row in model.report.search},
            }
        )
    mean = {name: over_seeds(found).per_user for name, found in per_user.items()}
    tests = {name: paired_test(mean["boosted"], v).p for name, v in mean.items() if name != "boosted"}
    return {"runs": runs, "p": corrected(tests), "n_users": len(mean["boosted"])}


def parts(model: Boosted) -> dict[str, Recommender]:
    """The re-ranker and its sources by name."""
    return {"boosted": model, **{source.name: source for source in model.retrieval.sources}}


def click_data(dataset: str) -> Dataset:
    """Labelled events: the last ten ratings of everybody are test on ml-100k; coat has its own random test."""
    if dataset == "ml-100k":
        return leave_last_out(load_data(dataset, positive="rating >= 4"), valid=5, test=10)
    return ensure_valid(load_data(dataset))


def clicks_cell(dataset: str, seeds: list[int]) -> dict[str, Any]:
    """DIN and its floors on the same events."""
    data = click_data(dataset)
    events = data.select("test").interactions
    truth, users = events["positive"].to_numpy().astype(np.float64), events["user"].to_numpy()
    per_user: dict[tuple[str, str], list[Values]] = {}
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        runs.append({"seed": seed, "metrics": {}})
        for model in (ItemRate(), Logistic(seed=seed), DIN(seed=seed)):
            model.fit(data)
            scores = model.score_events(data, "test").astype(np.float64)
            runs[-1]["metrics"][model.name] = {
                "auc": auc(truth, scores),
                "gauc": gauc(truth, scores, users),
                "log_loss": log_loss(truth, scores),
                "ece": ece(truth, scores),
                "cpu_seconds": round(model.report.cpu_seconds, 1),
            }
            for metric, values in user_values(truth, scores, users, data.n_users).items():
                per_user.setdefault((model.name, metric), []).append(values)
    mean = {key: over_seeds(found).per_user for key, found in per_user.items()}
    tests = {
        f"{name} {metric}": paired_test(mean["din", metric], mean[name, metric]).p
        for name in ("itemrate", "logistic")
        for metric in ("auc", "log_loss")
    }
    return {"runs": runs, "p": corrected(tests), "n_events": len(truth)}


def user_values(truth: Values, scores: Values, users: npt.NDArray[np.integer], n: int) -> dict[str, Values]:
    """AUC within each user, NaN where all events are of one class, and each user's mean log-loss."""
    p = np.clip(scores, 1e-7, 1 - 1e-7)
    losses = -(truth * np.log(p) + (1 - truth) * np.log1p(-p))
    with np.errstate(invalid="ignore"):
        mean = group_sum(users, losses, n) / np.bincount(users, minlength=n)
    return {"auc": grouped_auc(truth, scores, users.astype(np.int64), n), "log_loss": mean}


def corrected(ps: dict[str, float]) -> dict[str, float]:
    """Holm-corrected p-values under the same names."""
    return dict(zip(ps, (float(p) for p in holm(list(ps.values()))), strict=True))


def main() -> None:
    """Run the cells that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=["lists", "clicks"], default=["clicks", "lists"])
    parser.add_argument("--datasets", nargs="+", default=[*LISTS, *CLICKS])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plans = {"lists": (LISTS, lists_cell), "clicks": (CLICKS, clicks_cell)}
    for task in arguments.tasks:
        seeds, run = plans[task]
        for dataset in [name for name in seeds if name in arguments.datasets]:
            key = {"task": task, "dataset": dataset}
            if not any(key.items() <= cell.items() for cell in cells()):
                cell = key | run(dataset, seeds[dataset])
                write([*cells(), cell])  # read again: another process may have added cells


def cells() -> list[dict[str, Any]]:
    """What was measured so far."""
    content = read_result(NAME)
    return content["results"] if content else []


def write(found: list[dict[str, Any]]) -> None:
    """All cells, in a fixed order."""
    found.sort(key=lambda cell: (cell["task"], cell["dataset"]))
    write_result(
        NAME,
        found,
        dataset=sorted({cell["dataset"] for cell in found}),
        split="as published; ml-100k: last ten ratings test, five before valid; coat: 5 % of train are valid",
        protocol=PROTOCOL,
        seeds=sorted({run["seed"] for cell in found for run in cell["runs"]}),
        config={"ml-100k": "positive = rating >= 4", "coat": "positive = rating >= 4"},
        whole=True,
    )


if __name__ == "__main__":
    main()
