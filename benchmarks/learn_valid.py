"""What learning the events of valid is worth, when everything has been chosen by them: ``auto`` before and after.

    python benchmarks/learn_valid.py                                       # the cells that are missing
    python benchmarks/learn_valid.py --datasets amazon-toys --seeds 0      # some of them

``auto`` searches within its budget; what it chose is measured on test as it stands, then learns valid
(``Recommender.learn_valid``) and is measured again: same users, same history (train and valid), paired test. Data is
looked for by name under ``$HONEYGUIDE_DATA``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

import torch

from auto_accuracy import TASKS, asked, measure
from honeyguide.core.dataset import Dataset
from honeyguide.core.resources import Stopwatch
from honeyguide.data.load import load_data
from honeyguide.data.valid import ensure_valid
from honeyguide.metrics.stats import paired_test
from honeyguide.models.auto import Auto
from result_file import read_result, write_result

NAME = "learn_valid"
BUDGETS = {
    "amazon-beauty": 240.0,
    "amazon-toys": 240.0,
    "amazon-sports": 360.0,
    "ml-1m": 400.0,
    "goodbooks-mini": 150.0,
}


def run(data: Dataset, name: str, seed: int, budget: float, text: str) -> dict[str, Any]:
    """Before and after, with the values of every user compared."""
    _, k, parts = TASKS[name]
    model = Auto(budget=budget, seed=seed, text=text).fit(data)
    history, truth, catalogue = asked(data, parts)
    means, values, chosen = {}, {}, model.stands_for
    means["before"], values["before"] = measure(model, history, truth, k, catalogue)
    with Stopwatch() as watch:
        model.learn_valid(data)
    means["after"], values["after"] = measure(model, history, truth, k, catalogue)
    return {
        "dataset": name,
        "seed": seed,
        "k": k,
        "budget": budget,
        "text": text,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "chosen": chosen,
        "left_behind": list(model.left_behind),
        "users": len(truth),
        "events": len(data.histories("valid").values),
        "metrics": means,
        "p": {
            metric: float(paired_test(values["after"][metric], values["before"][metric]).p)
            for metric in (f"recall@{k}", f"ndcg@{k}")
        },
        "cpu_seconds": {"search": round(model.report.cpu_seconds, 1), "learn_valid": round(watch.cpu, 1)},
    }


def main() -> None:
    """Run the cells that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--text", default="auto", help="encoder of the texts, or off")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.datasets:
        for seed in arguments.seeds:
            if any((cell["dataset"], cell["seed"]) == (name, seed) for cell in _cells()):
                continue
            with tempfile.TemporaryDirectory() as empty:
                os.environ["HONEYGUIDE_CACHE"] = empty
                cell = run(ensure_valid(load_data(name)), name, seed, BUDGETS[name], arguments.text)
            print(name, seed, cell["metrics"], cell["p"], cell["cpu_seconds"], flush=True)
            cells = sorted([*_cells(), cell], key=lambda c: (list(BUDGETS).index(c["dataset"]), c["seed"]))
            write_result(
                NAME,
                cells,
                dataset=list(BUDGETS),
                split="as published; without a valid part, a seeded 5 % of train",
                protocol="full ranking, ties pessimistic, seen items removed; chosen on valid, then valid learnt too; "
                "history = train + valid",
                seeds=sorted({c["seed"] for c in cells}),
                config=BUDGETS,
                whole=True,
            )


def _cells() -> list[dict[str, Any]]:
    content = read_result(NAME)
    return content["results"] if content else []


if __name__ == "__main__":
    main()
