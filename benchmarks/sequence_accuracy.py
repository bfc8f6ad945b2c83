"""Accuracy and cost of next-item models: one cell per model, data set, options and seed; none is run twice.

    python benchmarks/sequence_accuracy.py --models sasrec --datasets amazon-beauty --seeds 0 1 2
    python benchmarks/sequence_accuracy.py --models sasrec --datasets amazon-beauty --seeds 0 --set block=sasrec

The data is looked for by name under ``$HONEYGUIDE_DATA``. Fitted on train; epochs chosen on valid;
the test part is read once, after the fit, with train and valid as history.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.resources import Stopwatch
from honeyguide.data.load import load_data
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.registry import model_class
from honeyguide.models.sequence.next_item import NextItemModel
from result_file import read_result, write_result

PROTOCOL = "full ranking, ties pessimistic, history = train + valid at test time; :kept does not remove seen items"


def measure(model: NextItemModel, data: Dataset) -> tuple[dict[str, float], np.ndarray]:
    """Test metrics, with seen items removed and kept, and NDCG@10 of every user with them removed."""
    histories, truth = data.histories("train", "valid"), data.histories("test")
    found, per_user = {}, {}
    for suffix, remove_seen in (("", True), (":kept", False)):
        values = holdout_ndcg(model.score_histories, histories, truth, remove_seen=remove_seen)
        per_user[suffix] = values
        found[f"ndcg@10{suffix}"] = float(values.mean())
        found[f"recall@10{suffix}"] = float((values > 0).mean())  # one relevant item per user
    return found, per_user[""]


def run(name: str, data: Dataset, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """Fit and measure one cell."""
    model = model_class(name)(**options, seed=seed)
    assert isinstance(model, NextItemModel), f"{name} is not a next-item model"
    model.fit(data)
    with Stopwatch() as watch:
        test, _ = measure(model, data)
    values = [row["valid_ndcg@10"] for row in model.report.curve]
    return {
        "options": options,
        "seed": seed,
        "test": test,
        "valid_ndcg@10": max(values),
        "best_epoch": int(np.argmax(values)) + 1,
        "epochs": len(values),
        "cpu_seconds": round(model.report.cpu_seconds, 1),
        "test_cpu_seconds": round(watch.cpu, 1),
        "peak_rss_mb": round(model.report.peak_rss_mb, 1),
        "n_parameters": model.report.n_parameters,
        "resolved": model.resolved.model_dump(mode="json"),
        "curve": model.report.curve,
    }


def summary(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, one row per set of options."""
    rows = []
    for options in {json.dumps(cell["options"], sort_keys=True): cell["options"] for cell in cells}.values():
        same = [cell for cell in cells if cell["options"] == options]
        metrics = {name: float(np.mean([cell["test"][name] for cell in same])) for name in same[0]["test"]}
        cost = float(np.mean([cell["cpu_seconds"] for cell in same]))
        valid = float(np.mean([cell["valid_ndcg@10"] for cell in same]))
        seeds = sorted(cell["seed"] for cell in same)
        rows.append({"options": options, "seeds": seeds, "valid_ndcg@10": valid, **metrics, "cpu_seconds": cost})
    return rows


def main() -> None:
    """Run the cells that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["sasrec"])
    parser.add_argument("--datasets", nargs="+", default=["amazon-beauty", "ml-1m"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the models")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = {}
    for name, value in (text.split("=", 1) for text in arguments.set):
        options[name] = value if value.isalpha() else json.loads(value)
    for dataset in arguments.datasets:
        data = load_data(dataset)
        for model in arguments.models:
            for seed in arguments.seeds:
                if not _done(model, dataset, options, seed):
                    cell = run(model, data, options, seed)
                    _write(model, dataset, [*_cells(model, dataset), cell])  # another process may have added cells


def _done(model: str, dataset: str, options: dict[str, Any], seed: int) -> bool:
    return any(cell["options"] == options and cell["seed"] == seed for cell in _cells(model, dataset))


def _cells(model: str, dataset: str) -> list[dict[str, Any]]:
    content = read_result(f"{model}_{dataset}")
    return content["results"]["cells"] if content else []


def _write(model: str, dataset: str, cells: list[dict[str, Any]]) -> None:
    cells.sort(key=lambda cell: (json.dumps(cell["options"], sort_keys=True), cell["seed"]))
    write_result(
        f"{model}_{dataset}",
        {"summary": summary(cells), "cells": cells},
        dataset=dataset,
        split="as published: last event test, the one before valid",
        protocol=PROTOCOL,
        seeds=sorted({cell["seed"] for cell in cells}),
        config={},
    )


if __name__ == "__main__":
    main()
