"""``auto`` against single models on every interaction set: one cell per data set; cells that are there are kept.

    python benchmarks/every_set.py                          # those that are missing
    python benchmarks/every_set.py --only ml-100k coat      # these again

Every model has its defaults and is fitted on train; ``auto`` and whatever chooses do so on valid; test is read once,
with train and valid as history. Models that train in epochs are given as many CPU-seconds as ``auto`` has in all. Data
is looked for by name under ``$HONEYGUIDE_DATA``; text is encoded from an empty cache within the budget.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

import numpy as np
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import HoneyguideError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.recommender import Recommender
from honeyguide.data.load import load_data
from honeyguide.data.splits import auto_split
from honeyguide.data.valid import asks_what_follows, ensure_valid
from honeyguide.experiment.cell import measure
from honeyguide.metrics.stats import paired_test
from honeyguide.models.auto import Auto
from honeyguide.models.registry import model_class
from result_file import read_result, write_result

NAME = "every_set"
# CPU-seconds of the search. The first sets have benchmarks of their own with larger budgets.
BUDGETS = {
    "ml-100k": 240.0,
    "ml-small-2018": 120.0,
    "goodbooks-mini": 180.0,
    "goodbooks-sample": 300.0,
    "coat": 60.0,
    "foursquare-nyc": 90.0,
    "foursquare-nyc-weekly": 150.0,
    "foursquare-nyc-coords": 150.0,
    "foursquare-nyc-coords:leave-last-new-out": 150.0,
    "microlens-50k": 600.0,
    "amazon-games": 600.0,
}
CLOSED = ("popularity", "floor", "itemknn", "ials", "gfcf", "ease", "slim")
EPOCHS = {True: ("sasrec",), False: ("lightgcn", "simplex")}  # where valid asks what follows, and elsewhere
K = 10


def run(name: str, budget: float) -> dict[str, Any]:
    """All models on one data set."""
    dataset, _, split = name.partition(":")
    data = ensure_valid(auto_split(load_data(dataset, split=split or None)))
    lines: dict[str, dict[str, Any]] = {}
    values: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for model in (*CLOSED, *EPOCHS[asks_what_follows(data)], "auto"):
        try:
            fitted = fit(model, data, budget)
        except HoneyguideError as error:
            lines[model] = {"error": error.message}
            continue
        found = measure(fitted, data, K)
        values[model] = found.per_user[f"ndcg@{K}"]
        lines[model] = {
            "recall@10": found.overall["recall@10"],
            "ndcg@10": found.overall["ndcg@10"],
            "cpu_seconds": round(fitted.report.cpu_seconds, 1),
        }
        print(name, model, lines[model], flush=True)
    best = max((m for m in values if m != "auto"), key=lambda m: float(values[m].mean()))
    test = paired_test(values["auto"], values[best])
    return {
        "n_users": len(values["auto"]),
        "n_items": data.n_items,
        "events": data.positives("train").height,
        "ordered": data.ordered,
        "budget": budget,
        "lines": lines,
        "best_single": best,
        "ratio": float(values["auto"].mean() / values[best].mean()),
        "p": float(test.p),
    }


def fit(name: str, data: Dataset, budget: float) -> Recommender:
    """A fitted model with its defaults."""
    if name == "auto":
        return Auto(budget=budget, seed=0).fit(data)
    return model_class(name)(seed=0).fit(data, FitOptions(cpu_limit=budget))


def main() -> None:
    """Run the cells that are missing or asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(BUDGETS))
    asked = parser.parse_args().only
    torch.set_num_threads(1)
    for name, budget in BUDGETS.items():
        before = read_result(NAME)
        cells = before["results"] if before else {}
        if name in cells if asked is None else name not in asked:
            continue
        with tempfile.TemporaryDirectory() as empty:
            os.environ["HONEYGUIDE_CACHE"] = empty
            cells[name] = run(name, budget)
        write_result(
            NAME,
            cells,
            dataset=list(cells),
            split="as published or named, else leave-last-out; without a valid part, a seeded 5 % of train",
            protocol="full ranking, ties pessimistic, seen items removed; chosen on valid, fitted on train; one thread",
            seeds=[0],
            config={"budget": {n: BUDGETS[n] for n in cells}},
            whole=True,
        )


if __name__ == "__main__":
    main()
