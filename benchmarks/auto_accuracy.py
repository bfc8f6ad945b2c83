"""What ``auto`` reaches within its budget: one cell per data set and seed; cells that are there are not run again.

    python benchmarks/auto_accuracy.py --datasets amazon-beauty --seeds 0 1 2

The data is looked for by name under ``$HONEYGUIDE_DATA``. Everything is chosen on valid; the test part is read
once, after the search, with train and valid as history; beside ``auto`` stand popularity and the linear floor.
CPU-seconds are those of the whole search, encoding of text included unless it was in the cache: by
default the cache is an empty folder. Where the published split has no valid part, published figures were learnt from
what is set aside here: there the model is measured once more when it has learnt valid too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

import numpy as np
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Stopwatch
from honeyguide.data.load import load_data
from honeyguide.data.valid import ensure_valid
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.holdout import rank_catalogue
from honeyguide.metrics.stats import paired_test
from honeyguide.models.auto import Auto
from honeyguide.models.linear.floor import Floor
from honeyguide.models.popularity import Popularity
from result_file import read_result, write_result

# CPU-seconds of the search, cut-off of the lists, and which parts are the history when test is asked.
TASKS: dict[str, tuple[float, int, tuple[str, ...]]] = {
    "amazon-beauty": (900.0, 10, ("train", "valid")),
    "amazon-toys": (900.0, 10, ("train", "valid")),
    "amazon-sports": (1800.0, 10, ("train", "valid")),
    "ml-1m": (3600.0, 10, ("train", "valid")),
    "goodbooks-mini": (300.0, 10, ("train", "valid")),
    "gowalla-lightgcn": (2400.0, 20, ("train", "valid")),
    "yelp-lightgnn": (2400.0, 20, ("train", "valid")),
}
PROTOCOL = "full ranking, ties pessimistic, seen items removed (':kept' not), chosen on valid, fitted on train"


def run(published: Dataset, name: str, seed: int) -> dict[str, Any]:
    """Search, then measure what was chosen beside the floors."""
    budget, k, parts = TASKS[name]
    data = ensure_valid(published)
    model = Auto(budget=budget, seed=seed).fit(data)
    history, truth, catalogue = asked(data, parts)
    lines: list[Recommender] = [model, Floor().fit(data), Popularity().fit(data)]
    found = {line.name: measure(line, history, truth, k, catalogue) for line in lines}
    ours, floor = (found[line][1][f"ndcg@{k}"] for line in ("auto", "floor"))
    cost = {"cpu_seconds": round(model.report.cpu_seconds, 1)}
    if not len(published.histories("valid").values):
        with Stopwatch() as watch:
            model.learn_valid(data)
        found["auto, valid learnt"] = measure(model, history, truth, k, catalogue)
        cost["learn_valid"] = round(watch.cpu, 1)
    return {
        "seed": seed,
        "k": k,
        "history": list(parts),
        "chosen": model.chosen.name,
        "metrics": {line: means for line, (means, _) in found.items()},
        "p_vs_floor": float(paired_test(ours, floor).p),
        "budget": budget,
        **cost,
        "peak_rss_mb": round(model.report.peak_rss_mb, 1),
        "ladder": model.report.search,
    }


def asked(data: Dataset, parts: tuple[str, ...]) -> tuple[Ragged, Ragged, Catalogue]:
    """Histories and truths of the users of test, and the catalogue as these see it."""
    history, truth = data.histories(*parts), data.histories("test")
    users = np.flatnonzero(truth.lengths)
    history, truth = history.take(users), truth.take(users)
    return history, truth, Catalogue(data.n_items, data.popularity("train"), history)


def measure(
    model: Recommender, history: Ragged, truth: Ragged, k: int, catalogue: Catalogue
) -> tuple[dict[str, float], dict[str, np.ndarray[Any, np.dtype[np.float64]]]]:
    """Means, with seen items removed and kept, and the values of every user with them removed."""
    names = [f"recall@{k}", f"ndcg@{k}"]
    removed = evaluate_lists(rank_catalogue(model.score_histories, history, truth, k), truth, names, catalogue)
    lists = rank_catalogue(model.score_histories, history, truth, k, remove_seen=False)
    kept = evaluate_lists(lists, truth, names, catalogue)
    return removed.overall | {f"{n}:kept": kept.overall[n] for n in names}, dict(removed.per_user)


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds."""
    means: dict[str, Any] = {"seeds": sorted(c["seed"] for c in cells)}
    for line, what in (("auto", "metrics"), ("auto, valid learnt", "valid_learnt")):
        reached = [cell["metrics"][line] for cell in cells if line in cell["metrics"]]
        if reached:
            means[what] = {name: float(np.mean([found[name] for found in reached])) for name in reached[0]}
    for cost in ("cpu_seconds", "learn_valid"):
        spent = [cell[cost] for cell in cells if cost in cell]
        if spent:
            means[cost] = float(np.mean(spent))
    return means


def main() -> None:
    """Run the cells that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.datasets:
        for seed in arguments.seeds:
            if any(cell["seed"] == seed for cell in _cells(name)):
                continue
            with tempfile.TemporaryDirectory() as empty:
                os.environ["HONEYGUIDE_CACHE"] = empty
                cell = run(load_data(name), name, seed)
            _write(name, sorted([*_cells(name), cell], key=lambda c: int(c["seed"])))


def _cells(name: str) -> list[dict[str, Any]]:
    content = read_result(f"auto_{name}")
    return content["results"]["cells"] if content else []


def _write(name: str, cells: list[dict[str, Any]]) -> None:
    write_result(
        f"auto_{name}",
        {"summary": summary(cells), "cells": cells},
        dataset=name,
        split="as published; without a valid part, a seeded 5 % of train",
        protocol=PROTOCOL,
        seeds=[cell["seed"] for cell in cells],
        config={"budget": TASKS[name][0]},
    )


if __name__ == "__main__":
    main()
